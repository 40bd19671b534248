// The core keeps its promises in thousands of schedules of faults, always the same ones; `npm run simulate` looks for new ones.
import { describe, expect, it } from '@jest/globals'
import { readable } from '../src/plan.ts'
import { search } from '../src/search.ts'

/** Each worker of jest takes one part. */
const RUNS = 2_500
describe.each([1, 2])('the core, with the first number %d', (part) => {
  it.each([1, 2])(
    'and the second %d, breaks no invariant',
    async (half) => {
      const { failure } = await search({ seed: 10 * part + half, runs: RUNS })
      expect(
        failure && `${failure.violation.invariant}: ${failure.violation.details}\n${readable(failure.plan)}`,
      ).toBeUndefined()
    },
    600_000,
  )
})
