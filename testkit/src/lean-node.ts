// Node options that keep a service's memory small. docs/benchmarks.md shows the effect of each.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The environment of a service's Node. The compile cache keeps stripped and compiled code between starts, so the memory
 * for stripping and compiling is not spent again. The young generation grows while a service starts and never shrinks
 * while it idles, so its size is limited. Each read of a socket allocates 64 KiB: from that size on, glibc takes memory
 * from the system and returns it when it is freed. On its heap, freed buffers lie between small ones and are kept.
 */
export const leanNode: Readonly<Record<string, string>> = {
  NODE_COMPILE_CACHE: join(ROOT, '.local', 'compile-cache'),
  NODE_OPTIONS: '--max-semi-space-size=4',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_ARENA_MAX: '1',
}
