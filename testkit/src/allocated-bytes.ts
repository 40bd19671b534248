// Measures how many bytes an operation allocates, and how many it holds while it waits. Unlike its duration, neither
// depends on how busy the machine is.
import { Session } from 'node:inspector/promises'

const WARM_UP = 3_000
const COUNTED = 3_000

/** Bytes that one call allocates once it is compiled. The heap is sampled, so the result is right within a few percent. */
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

/** Bytes that one call keeps in memory. `begin` begins something that waits for ever. */
export async function heldBytes(begin: () => void): Promise<number> {
  const session = new Session()
  session.connect()
  const usedBytes = async () => {
    // Until all that can go on has done so.
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
