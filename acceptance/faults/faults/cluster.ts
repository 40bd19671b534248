// Faults of a database cluster: one node of three is killed.
import { allReady } from '../testbed.ts'
import { becomesTrue } from './broker.ts'
import type { Fault } from './fault.ts'

/** The cluster removes a dead node after five seconds. A statement can wait for the removal. */
const READY_WITHIN_MS = 20_000

/** The first node is never killed, because the ledger reads from it. */
const nodeKilled: Fault = {
  kind: 'one node of three killed',
  // No other fault runs at the same time, because all services must be ready during this one.
  group: 'moment',
  weight: 15,
  inject: async ({ testbed, sender, random }) => {
    const [first, ...others] = testbed.cluster
    const node = random.pick(others)
    await node.kill()
    const isRemoved = await becomesTrue(async () => {
      const size = await first?.sql("SHOW STATUS LIKE 'wsrep_cluster_size'")
      return size?.trim().endsWith(String(others.length)) ?? false
    }, READY_WITHIN_MS)
    const areReady = await allReady(testbed, READY_WITHIN_MS).then(
      () => true,
      () => false,
    )
    if (!areReady)
      sender.history.reportContradiction(`with two nodes of three, services were not ready after ${READY_WITHIN_MS} ms`)
    return {
      note: `node ${testbed.cluster.indexOf(node) + 1}`,
      lastsMs: random.whole(0, 5_000),
      repair: async () => {
        await node.start()
        return isRemoved
      },
    }
  },
}

export const clusterFaults: readonly Fault[] = [nodeKilled]
