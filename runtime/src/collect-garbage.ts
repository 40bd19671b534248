// Collects garbage on request, for code that drops buffers of many megabytes at once.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { z } from 'zod'

setFlagsFromString('--expose-gc')
const collect = z
  .custom<(options?: { type: 'major'; flavor: 'last-resort' }) => void>((value) => typeof value === 'function')
  .parse(runInNewContext('gc'))

/**
 * Frees all memory that is no longer referenced. Stops the process for about 20 ms. Without this call, 64 MiB of dropped
 * buffers can accumulate, because V8 does not count buffers as part of its heap.
 */
export function collectGarbage(): void {
  collect()
}

/**
 * Like collectGarbage, and also returns unused memory to the operating system. Call it once, after the modules are loaded.
 * Otherwise the garbage from loading them stays in memory while the process is idle. Stops the process for about 60 ms.
 */
export function shrinkHeap(): void {
  collect({ type: 'major', flavor: 'last-resort' })
}
