// Collects garbage on request, for the few places that drop buffers of many megabytes at once.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { z } from 'zod'

setFlagsFromString('--expose-gc')
const collect = z
  .custom<(options?: { type: 'major'; flavor: 'last-resort' }) => void>((value) => typeof value === 'function')
  .parse(runInNewContext('gc'))

/**
 * Frees the memory of everything that is not referenced any more. Stops the process for about 20 ms. V8 does not count
 * buffers as part of its heap, and would let 64 MiB of dropped ones gather.
 */
export function collectGarbage(): void {
  collect()
}

/**
 * The same, and gives all memory that is not used back to the system. For the end of the start-up, whose garbage would
 * otherwise stay for as long as the process is idle. Stops the process for about 60 ms.
 */
export function shrinkHeap(): void {
  collect({ type: 'major', flavor: 'last-resort' })
}
