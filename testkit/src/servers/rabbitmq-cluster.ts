// Adds two nodes to a private RabbitMQ, so that it is a cluster of three nodes on loopback.
import { join } from 'node:path'
import { freePorts } from './free-ports.ts'
import { keptIn, keptInMemory } from './kept.ts'
import { LocalRabbitmq } from './local-rabbitmq.ts'

/**
 * Starts two nodes that join the running RabbitMQ of `directory`. Their data is in folders of that directory. They share the
 * users, vhosts and policies of the cluster. Call `end` on both before you close the servers of the directory.
 */
export async function joinTwoNodes(directory: string): Promise<readonly LocalRabbitmq[]> {
  const { process: _process, nodeName, ...first } = keptIn(directory, 'local').rabbitmq.get()
  const [port2 = 0, distributionPort2 = 0, port3 = 0, distributionPort3 = 0] = await freePorts(4)
  const nodes = [
    { nodeName: 'ims-2@localhost', port: port2, distributionPort: distributionPort2 },
    { nodeName: 'ims-3@localhost', port: port3, distributionPort: distributionPort3 },
  ].map((own) => {
    const kept = keptInMemory({ ...first, ...own, prepared: false })
    return new LocalRabbitmq(join(directory, own.nodeName), kept, nodeName)
  })
  try {
    // The nodes start one after the other, because a cluster accepts one new node at a time.
    for (const node of nodes) await node.start()
  } catch (error) {
    await Promise.all(nodes.map((node) => node.end()))
    throw error
  }
  return nodes
}
