// All scenarios, in the order in which they run.
import type { Scenario } from '../bench.ts'
import { accept } from './accept.ts'
import { adjust, bad, drain } from './drain.ts'
import { latency } from './latency.ts'
import { list, long } from './list.ts'
import { lookUp } from './look-up.ts'
import { growth, memory } from './size.ts'
import { traces } from './traces.ts'

export const SCENARIOS: readonly Scenario[] = [
  accept,
  traces,
  latency,
  drain,
  bad,
  adjust,
  list,
  long,
  growth,
  lookUp,
  memory,
]
