// The schedule of faults for a seed, in rounds. Each fault has a number and its own random generator, so that it is the same in a run
// without the others.
import { databaseAwayForAMinute } from './faults/database.ts'
import type { Fault } from './faults/fault.ts'
import type { Random } from './random.ts'

const PAIR_FRACTION = 0.4

export interface Planned {
  /** Starts at 1. Number 0 is the fault that lasts a minute, which comes first in long runs. */
  readonly number: number
  readonly fault: Fault
  readonly random: Random
}

type PlannedRound = readonly [Planned, ...Planned[]]

/** Yields rounds without end: first the fault that lasts a minute, then one or two faults from `mix` in each round. */
export function* scheduleOf(random: Random, mix: readonly Fault[]): Generator<PlannedRound, never> {
  yield [{ number: 0, fault: databaseAwayForAMinute, random: random.fork() }]
  for (let number = 1; ; ) {
    const round = random.fork()
    const [first, second] = choose(round, mix)
    const planned = (fault: Fault): Planned => ({ number: number++, fault, random: round.fork() })
    yield second === undefined ? [planned(first)] : [planned(first), planned(second)]
  }
}

function choose(random: Random, mix: readonly Fault[]): [Fault, Fault?] {
  const first = random.weighted(mix)
  const others = mix.filter(({ group }) => group !== first.group && group !== 'moment')
  if (first.group === 'moment' || others.length === 0 || random.fraction() > PAIR_FRACTION) return [first]
  return [first, random.weighted(others)]
}
