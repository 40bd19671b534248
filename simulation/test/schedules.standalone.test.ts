// Messaging violates no invariant in 10,000 fixed schedules.
import { expect, it } from '@jest/globals'
import { readable } from '../src/plan.ts'
import { search } from '../src/search.ts'

it.each([1, 2])(
  'violates no invariant in 5,000 schedules from seed %i',
  async (seed) => {
    const { failure } = await search({ seed, runs: 5_000 })
    expect(
      failure && `${failure.violation.invariant}: ${failure.violation.details}\n${readable(failure.plan)}`,
    ).toBeUndefined()
  },
  900_000,
)
