// The in-memory broker passes the conformance suite for brokers.
import { deadLetterQueue } from '../src/contract.ts'
import { InMemoryRabbitmq } from '../src/testing.ts'
import { describeBroker } from './broker.suite.ts'

describeBroker('a broker in memory', async () => {
  const rabbitmq = new InMemoryRabbitmq()
  return {
    open: async (role) => rabbitmq.open(role),
    put: async (envelope) => rabbitmq.put(envelope),
    deadLetters: async (queue) =>
      rabbitmq.messages(deadLetterQueue(queue)).map(({ content, properties }) => ({
        content,
        headers: properties.headers ?? {},
        messageId: properties.messageId,
      })),
    close: async () => {},
  }
})
