// Searches for a schedule that violates an invariant. Shrinks it to fewer messages and faults that violate the same invariant.
import fc from 'fast-check'
import { type Fault, type Plan, plans } from './plan.ts'
import { run, type Violation } from './run.ts'

export interface Search {
  readonly seed: number
  readonly runs?: number
  readonly forMs?: number
  /** The faults to use. All faults when omitted. */
  readonly faults?: readonly Fault[]
}

export interface Found {
  readonly tried: number
  readonly failure?: { readonly plan: Plan; readonly violation: Violation }
}

/** The time limit for shrinking. */
const SHRINK_MS = 20_000

/** Resolves with the number of schedules tried. If one violates an invariant, also with the smallest schedule found. */
export async function search({ seed, runs = Number.MAX_SAFE_INTEGER, forMs, faults }: Search): Promise<Found> {
  let failure: Found['failure']
  let tried = 0
  let isOver = false
  let endsAtMs = forMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + forMs
  const property = fc.asyncProperty(plans(faults), async (plan) => {
    if (isOver) return
    if (performance.now() > endsAtMs) {
      // Throwing ends the check. The returned failure does not include this error.
      isOver = true
      throw new Error('the time is up')
    }
    const violation = await run(plan)
    if (failure === undefined) {
      tried += 1
      if (violation) endsAtMs = performance.now() + SHRINK_MS
    }
    if (violation === undefined || (failure && failure.violation.invariant !== violation.invariant)) return
    failure = { plan, violation }
    throw new Error(violation.invariant)
  })
  await fc.check(property, { seed, numRuns: runs })
  return failure === undefined ? { tried } : { tried, failure }
}
