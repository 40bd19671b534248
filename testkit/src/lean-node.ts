// Node options that keep a service's memory small. docs/benchmarks.md shows the effect of each.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The environment of a service's Node. The compile cache keeps the compiled code between starts, which saves the memory
 * for removing the types and compiling. The young generation of the heap grows while a service starts and does not shrink
 * while the service is idle, so its size is limited. Each read of a socket allocates 64 KiB. MALLOC_MMAP_THRESHOLD_ makes
 * glibc return buffers of this size to the system when they are freed. Otherwise they stay on its heap between small
 * allocations.
 */
export const leanNode: Readonly<Record<string, string>> = {
  NODE_COMPILE_CACHE: join(ROOT, '.local', 'compile-cache'),
  NODE_OPTIONS: '--max-semi-space-size=4',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_ARENA_MAX: '1',
}
