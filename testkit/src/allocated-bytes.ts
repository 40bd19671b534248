// Measures the memory that an operation allocates, and the memory that it keeps while it waits. Unlike its duration, both
// are independent of the load of the machine.
import { Session } from 'node:inspector/promises'

const WARM_UP = 3_000
const COUNTED = 3_000

/** Bytes that one call allocates after warm-up. The heap is sampled, so the result has an error of a few percent. */
export async function allocatedBytes(turn: () => Promise<void> | void): Promise<number> {
  for (let n = 0; n < WARM_UP; n += 1) await turn()
  const session = new Session()
  session.connect()
  const collected = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
  await session.post('HeapProfiler.startSampling', { samplingInterval: 2_048, ...collected })
  for (let n = 0; n < COUNTED; n += 1) await turn()
  const { profile } = await session.post('HeapProfiler.stopSampling')
  session.disconnect()
  const sum = ({ selfSize, children }: typeof profile.head): number =>
    children.reduce((total, child) => total + sum(child), selfSize)
  return sum(profile.head) / COUNTED
}

/** Bytes that one call keeps in memory. `begin` starts an operation that never ends. */
export async function heldBytes(begin: () => void): Promise<number> {
  const session = new Session()
  session.connect()
  const usedBytes = async () => {
    // Lets all pending callbacks run.
    await new Promise((resolve) => setImmediate(resolve))
    await session.post('HeapProfiler.collectGarbage')
    return process.memoryUsage().heapUsed
  }
  for (let n = 0; n < WARM_UP; n += 1) begin()
  const before = await usedBytes()
  for (let n = 0; n < COUNTED; n += 1) begin()
  const held = (await usedBytes()) - before
  session.disconnect()
  return held / COUNTED
}
