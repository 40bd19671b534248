// The backoff grows up to a cap and has jitter, a pause ends with its scope, and the error of a missed deadline names the operation.
import { describe, expect, it } from '@jest/globals'
import { backoffMs, clockOf, OwnScope, withDeadline } from '../src/scope.ts'

const clock = clockOf({})

describe('backoff', () => {
  it('doubles from 100 ms up to the cap, and random jitter removes at most half of the delay', () => {
    expect([1, 2, 3, 4, 5, 20, 1e9].map((attempt) => backoffMs(attempt, 1_000, () => 1))).toEqual([
      100, 200, 400, 800, 1_000, 1_000, 1_000,
    ])
    expect(backoffMs(3, 1_000, () => 0)).toBe(200)
  })
})

describe('a pause', () => {
  it('ends when its scope is aborted, before or during the pause', async () => {
    const owner = new OwnScope(clock)
    const since = Date.now()
    const paused = [owner.pause(60_000), owner.part([]).pause(60_000)]
    owner.abort()
    await Promise.all(paused)
    await owner.pause(60_000)
    expect(Date.now() - since).toBeLessThan(20_000)
  })

  it('ends when the time of its scope is over', async () => {
    const part = new OwnScope(clock).part([], 20)
    const since = Date.now()
    await part.pause(60_000)
    expect(part.isOver).toBe(true)
    expect(Date.now() - since).toBeLessThan(20_000)
  })
})

describe('a missed deadline', () => {
  it('names the operation that took too long', async () => {
    await expect(withDeadline(clock, new Promise(() => {}), 10, 'waiting for nothing')).rejects.toThrow(
      'waiting for nothing took longer than 10 ms',
    )
    await expect(withDeadline(clock, Promise.resolve(5), 1_000, 'x')).resolves.toBe(5)
  })
})
