// A job that repeats until it is closed or the service shuts down.
import { setTimeout as pauseMs } from 'node:timers/promises'
import { describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { disabledJob, inBackground } from '../src/background-job.ts'

describe('a background job', () => {
  const started = () => {
    const stopping = new AbortController()
    let rounds = 0
    const job = inBackground(stopping.signal, async (ended) => {
      rounds += 1
      await pauseMs(1, undefined, { signal: ended }).catch(() => {})
    })
    return { job, stopping, rounds: () => rounds }
  }

  it('runs rounds until it is closed', async () => {
    const { job, rounds } = started()
    await eventually(() => expect(rounds()).toBeGreaterThan(2))
    await job.close()
    const atClose = rounds()
    await pauseMs(50)
    expect(rounds()).toBe(atClose)
  })

  it('ends when the service shuts down', async () => {
    const { job, stopping, rounds } = started()
    stopping.abort()
    const atShutdown = rounds()
    await pauseMs(50)
    expect(rounds()).toBe(atShutdown)
    await job.close()
  })

  it('closes only after the current round', async () => {
    const round = Promise.withResolvers<void>()
    const job = inBackground(new AbortController().signal, () => round.promise)
    let isClosed = false
    const closed = job.close().then(() => {
      isClosed = true
    })
    await pauseMs(50)
    expect(isClosed).toBe(false)
    round.resolve()
    await closed
  })

  it('can be closed when it is disabled', async () => {
    await expect(disabledJob.close()).resolves.toBeUndefined()
  })
})
