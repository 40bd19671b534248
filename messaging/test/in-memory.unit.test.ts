// Runs the conformance suite on the in-memory broker.
import { deadLetterQueue } from '../src/contract.ts'
import { InMemoryRabbitmq } from '../src/testing.ts'
import { describeBroker } from './broker.suite.ts'

describeBroker('the in-memory broker', async () => {
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
