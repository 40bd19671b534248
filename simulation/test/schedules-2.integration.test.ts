// The core breaks no invariant in 5,000 schedules, always the same ones. Two files, so that two workers of jest share 10,000.
import { expect, it } from '@jest/globals'
import { readable } from '../src/plan.ts'
import { search } from '../src/search.ts'

it('breaks no invariant', async () => {
  const { failure } = await search({ seed: 2, runs: 5_000 })
  expect(
    failure && `${failure.violation.invariant}: ${failure.violation.details}\n${readable(failure.plan)}`,
  ).toBeUndefined()
}, 900_000)
