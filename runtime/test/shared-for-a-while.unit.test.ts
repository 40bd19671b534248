// Callers within a period share one result.
import { describe, expect, it } from '@jest/globals'
import { sharedForAWhile } from '../src/shared-for-a-while.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('a shared result', () => {
  it('is computed once for all callers within a period, and again for later ones', async () => {
    let asked = 0
    const ask = sharedForAWhile(async () => {
      asked += 1
      return asked
    }, 2_000)
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1])
    expect(await ask()).toBe(1)
    await pause(2_100)
    expect(await ask()).toBe(2)
  })

  it('is never computed twice at a time', async () => {
    let running = 0
    let max = 0
    const ask = sharedForAWhile(async () => {
      running += 1
      max = Math.max(max, running)
      await pause(200)
      running -= 1
    }, 1)
    for (let n = 0; n < 20; n += 1) {
      void ask()
      await pause(5)
    }
    expect(max).toBe(1)
  })

  it('is computed again after a failure', async () => {
    let asked = 0
    const ask = sharedForAWhile(async () => {
      asked += 1
      if (asked === 1) throw new Error('no')
      return asked
    }, 10_000)
    await expect(ask()).rejects.toThrow('no')
    expect(await ask()).toBe(2)
  })
})
