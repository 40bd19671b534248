// All scenarios, in the order in which they run.
import type { Scenario } from '../bench.ts'
import { accept } from './accept.ts'
import { adjust, bad, drain } from './drain.ts'
import { latency } from './latency.ts'
import { list, long } from './list.ts'
import { growth, memory } from './size.ts'

export const SCENARIOS: readonly Scenario[] = [accept, latency, drain, bad, adjust, list, long, growth, memory]
