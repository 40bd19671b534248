// One message from end to end: `npx node examples/one-message.ts` sends a command, consumes it, and logs the reply.
import { consumerEnvironment, type Handler, openBroker, rabbitmqEnvironment } from '@ims/messaging'
import { runService } from '@ims/runtime'
import { z } from 'zod'
import { command } from '../messaging/src/contract.ts'

// The contract: a queue, the body of its messages, and the result that a sender can wait for.
const greet = command('greet', {
  body: z.object({ name: z.string().min(1) }),
  result: z.object({ greeting: z.string() }),
})

// The handler returns one outcome for each message, and has no access to the channel. After an exception the messages are retried.
const greeter: Handler<{ name: string }, { greeting: string }> = async (deliveries) =>
  deliveries.map(({ body }) =>
    body.name === 'nobody'
      ? { kind: 'refused', reason: 'unknown-name', error: 'there is nobody to greet' }
      : { kind: 'applied', result: { greeting: `Hello, ${body.name}` }, repeated: false },
  )

// The process. Reconnects, confirms, dead letters, probes, metrics and the shutdown are built in.
const config = { rabbitmq: rabbitmqEnvironment, consumer: consumerEnvironment }
void runService({ name: 'greeter', config }, async (service) => {
  const broker = service.own(await openBroker(service.config.rabbitmq, service, { publishes: [greet] }))
  service.own(await broker.consume(greet, greeter, service.config.consumer))
  const { reply } = await broker.requester.command(greet, { name: 'world' }, { deadlineMs: 10_000 })
  service.log.info({ reply }, 'the consumer replied')
})
