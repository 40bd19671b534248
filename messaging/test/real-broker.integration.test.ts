// Runs the conformance suite on RabbitMQ.
import { connect } from 'amqplib'
import { openBroker } from '../src/broker.ts'
import { deadLetterQueue } from '../src/contract.ts'
import { quietService } from '../src/testing.ts'
import { describeBroker } from './broker.suite.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

const underTest = rabbitmqOfFile('broker_suite')

describeBroker('RabbitMQ', async () => {
  const { config, url } = underTest
  const peer = await connect(url)
  const channel = await peer.createConfirmChannel()
  const letters = new Map<string, { content: Buffer; headers: Record<string, unknown>; messageId: unknown }[]>()
  return {
    open: async (role) => await openBroker(config, quietService, role),
    put: async ({ queue, content, properties }) => {
      channel.publish('', queue, content, properties)
      await channel.waitForConfirms()
    },
    deadLetters: async (queue) => {
      const found = letters.get(queue) ?? []
      letters.set(queue, found)
      for (;;) {
        const message = await channel.get(deadLetterQueue(queue), { noAck: true })
        if (message === false) return found
        const { content, properties } = message
        found.push({ content, headers: properties.headers ?? {}, messageId: properties.messageId })
      }
    },
    close: async () => {
      await peer.close()
    },
  }
})
