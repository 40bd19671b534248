// Shrinks failing runs. A function takes the place of the runs.
import { describe, expect, it } from '@jest/globals'
import { faults } from '../../faults/faults/index.ts'
import { randomOf } from '../../faults/random.ts'
import { scheduleOf } from '../../faults/schedule.ts'
import { shrink } from '../../faults/shrink.ts'

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

interface Example {
  readonly all?: readonly number[]
  readonly suspects?: readonly number[]
  readonly runsMax?: number
}

/** Returns the smallest schedule and all schedules that were tried. A run fails if it has all faults of `needed`. */
async function shrunk(needed: readonly number[] | undefined, more: Example = {}) {
  const { all = upTo(40), suspects = [], runsMax = 100 } = more
  const tried: (readonly number[])[] = []
  const { smallest, runs } = await shrink({
    all,
    suspects,
    again: async (only) => {
      tried.push(only)
      return needed?.every((number) => only.includes(number)) ? `failure ${tried.length}` : undefined
    },
    mayRun: (count) => count < runsMax,
  })
  expect(tried).toHaveLength(runs)
  expect(new Set(tried.map((only) => only.join())).size).toBe(runs)
  if (smallest) expect(tried[Number(smallest.failure.split(' ')[1]) - 1]).toBe(smallest.only)
  return { only: smallest?.only, tried }
}

describe('a failing run', () => {
  it('that fails without any fault is shrunk to no faults, in one run', async () => {
    expect(await shrunk([])).toEqual({ only: [], tried: [[]] })
  })
  it.each([1, 14, 27, 40])('that needs only fault %d of 40 is shrunk to it', async (number) => {
    const { only, tried } = await shrunk([number])
    expect(only).toEqual([number])
    expect(tried.length).toBeLessThan(20)
  })
  it('that needs two faults far apart is shrunk to both', async () => {
    expect((await shrunk([3, 37])).only).toEqual([3, 37])
  })
  it('is run without faults first, and then with only the suspects', async () => {
    expect(await shrunk([20], { suspects: [20] })).toEqual({ only: [20], tried: [[], [20]] })
    expect((await shrunk([7], { suspects: [20] })).only).toEqual([7])
  })
  it('is shrunk as far as the number of runs allows', async () => {
    const { only, tried } = await shrunk([40], { runsMax: 4 })
    expect(only).toEqual(upTo(40).slice(20))
    expect(tried).toHaveLength(4)
  })
  it('that does not fail again has no smaller schedule', async () => {
    const { only, tried } = await shrunk(undefined, { all: upTo(4), suspects: [2, 3] })
    expect(only).toBeUndefined()
    expect(tried.map((some) => some.join())).toEqual(
      expect.arrayContaining(['', '2,3', '1,2', '3,4', '1', '2', '3', '4', '2,3,4', '1,2,3']),
    )
  })
  it('with one fault is repeated once without it and once with it alone', async () => {
    expect(await shrunk([5], { all: [5], suspects: [5] })).toEqual({ only: [5], tried: [[], [5]] })
    expect(await shrunk(undefined, { all: [5], suspects: [5] })).toEqual({ only: undefined, tried: [[], [5]] })
  })
})

describe('a schedule', () => {
  /** The faults of 50 rounds, each with the first number from its own random source. Each fault then draws `used` more numbers. */
  const take = (seed: number, used = 0) => {
    const schedule = scheduleOf(randomOf(seed), faults)
    return Array.from({ length: 50 }, () =>
      schedule.next().value.map(({ number, fault, random }) => {
        const line = `${number} ${fault.kind} ${random.fraction()}`
        for (let draw = 0; draw < used; draw += 1) random.fraction()
        return line
      }),
    ).flat()
  }

  it('is the same for the same seed, and different for another seed', () => {
    expect(take(1)).toEqual(take(1))
    expect(take(1)).not.toEqual(take(2))
  })
  it('does not depend on how many random numbers a fault draws', () => {
    expect(take(1)).toEqual(take(1, 7))
  })
  it('numbers its faults without gaps, and begins with the fault that lasts a minute', () => {
    const lines = take(3)
    expect(lines.map((line) => Number(line.split(' ')[0]))).toEqual([...lines.keys()])
    expect(lines[0]).toMatch(/^0 database stopped for a minute/)
  })
})
