// Backoff: grows, is capped, has jitter; pauses end at once when told to.
import { describe, expect, it } from '@jest/globals'
import { backoffMs, pause, withDeadline } from '../src/backoff.ts'

describe('backoff', () => {
  it('doubles from 100 ms up to the cap, at least half of it certain', () => {
    expect([1, 2, 3, 4, 5, 20, 1e9].map((attempt) => backoffMs(attempt, 1_000, () => 1))).toEqual([
      100, 200, 400, 800, 1_000, 1_000, 1_000,
    ])
    expect(backoffMs(3, 1_000, () => 0)).toBe(200)
  })
})

describe('a pause', () => {
  it('ends when it is aborted, before or meanwhile', async () => {
    const stop = new AbortController()
    const since = Date.now()
    const paused = pause(60_000, stop.signal)
    stop.abort()
    await paused
    await pause(60_000, stop.signal)
    expect(Date.now() - since).toBeLessThan(1_000)
  })
})

describe('a deadline', () => {
  it('says what took too long', async () => {
    await expect(withDeadline(new Promise(() => {}), 10, 'waiting for nothing')).rejects.toThrow(
      'waiting for nothing took longer than 10 ms',
    )
    await expect(withDeadline(Promise.resolve(5), 1_000, 'x')).resolves.toBe(5)
  })
})
