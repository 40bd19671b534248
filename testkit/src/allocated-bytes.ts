// How much is allocated by what a service does again and again: unlike times, that is the same on a busy machine.
import { Session } from 'node:inspector/promises'

const WARM_UP = 3_000
const COUNTED = 3_000

/** Bytes that one turn allocates, once it is compiled. Sampled: right within a few percent. */
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
