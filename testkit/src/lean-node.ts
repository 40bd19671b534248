// How a service's Node keeps small: see docs/benchmarks.md for what each of the two is worth.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Environment of a service's Node. Code stripped of its types and compiled is kept between starts, so that neither the
 * stripper nor the compiler's leavings stay in memory; and the young generation, which grows while a service starts and
 * never shrinks while it idles, stays small.
 */
export const leanNode: Readonly<Record<string, string>> = {
  NODE_COMPILE_CACHE: join(ROOT, '.local', 'compile-cache'),
  NODE_OPTIONS: '--max-semi-space-size=2',
  MALLOC_MMAP_THRESHOLD_: '1048576',
}
