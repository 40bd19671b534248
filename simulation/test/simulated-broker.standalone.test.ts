// Messaging on the simulated broker passes the conformance suite for brokers. Messaging uses real time. The time of the broker
// runs faster, because its delays are not under test.
import { openBroker, rabbitmqEnvironment } from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { describeBroker } from '../../messaging/test/broker.suite.ts'
import { SimulatedBroker } from '../src/broker.ts'
import { randomFrom } from '../src/random.ts'
import { connectTo } from '../src/wire.ts'
import { Process, World } from '../src/world.ts'

const FASTER = 20

describeBroker('messaging on a simulated broker', async () => {
  const world = new World(randomFrom(1))
  const broker = new SimulatedBroker(world, { quorum: false, countsNacks: false })
  const since = performance.now()
  const pump = setInterval(() => world.advance(FASTER * (performance.now() - since)), 1)
  const process = new Process('test', world)
  const service = { ...quietService, connect: connectTo(world, process, broker) }
  return {
    open: async (role) => await openBroker(rabbitmqEnvironment.parse({}), service, role),
    put: async ({ queue, content, properties }) => broker.put(queue, { ...properties }, content),
    deadLetters: async (queue) =>
      broker.queue(`${queue}.dead-letter`).ready.map(({ content, properties }) => ({
        content,
        headers: properties.headers ?? {},
        messageId: properties.messageId,
      })),
    close: async () => clearInterval(pump),
  }
})
