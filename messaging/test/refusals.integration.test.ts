// Each refused message leaves one trace on RabbitMQ: its sender received the refusal, or else there is a dead letter.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { eventually } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { command, deadLetterQueue } from '../src/contract.ts'
import { DIRECT_REPLY_TO } from '../src/outgoing/reply.ts'
import { quietService } from '../src/testing.ts'
import { countingService } from './counting-service.ts'
import { type RabbitmqUnderTest, rabbitmqUnderTest } from './rabbitmq.ts'

const config = consumerEnvironment.parse({})

describe('a refused message', () => {
  let underTest: RabbitmqUnderTest
  let model: ChannelModel
  let sender: ChannelModel
  let looking: Channel
  let asking: Channel
  let consumer: Broker
  let number = 0
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })

  beforeAll(async () => {
    underTest = await rabbitmqUnderTest('refusals')
  })
  afterAll(async () => await underTest.drop())
  beforeEach(async () => {
    number += 1
    numbers = command(`refusals_${number}`, numbers)
    model = await connect(underTest.url)
    looking = await model.createChannel()
    sender = await connect(underTest.url)
    asking = await sender.createChannel()
    consumer = await openBroker(underTest.config, quietService)
  })
  afterEach(async () => {
    await consumer.close()
    await Promise.all([model.close(), sender.close().catch(() => {})])
  })

  const refusing = (changes: Partial<typeof config> = {}) =>
    consumer.consume(
      numbers,
      async (deliveries) => deliveries.map(() => ({ kind: 'refused' as const, reason: 'odd', error: 'it is odd' })),
      { ...config, ...changes },
    )
  const letters = async () => (await looking.checkQueue(deadLetterQueue(numbers.queue))).messageCount
  const left = async () => (await looking.checkQueue(numbers.queue)).messageCount
  const one = (properties: object) => asking.sendToQueue(numbers.queue, Buffer.from('{"n":1}'), properties)
  const hearing = { correlationId: 'c', headers: { 'x-hears-refusals': true } }

  it('is dead-lettered when its sender is gone', async () => {
    await looking.assertQueue(numbers.queue, { durable: true })
    await asking.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    one({ ...hearing, replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await left()).toBe(1))
    await sender.close()
    await refusing()
    await eventually(async () => expect(await letters()).toBe(1))
  })

  it('is dead-lettered when the queue for the reply is gone', async () => {
    await refusing()
    one({ ...hearing, replyTo: 'amq.gen-of-somebody-who-left' })
    await eventually(async () => expect(await letters()).toBe(1))
  })

  it.each([
    ['says that nobody waits any more', JSON.stringify({ heard: false })],
    ['confirms with something else', '[]'],
  ])('is dead-lettered when its sender %s', async (_, answer) => {
    await refusing()
    await asking.consume(
      DIRECT_REPLY_TO,
      (reply) => {
        const { replyTo, messageId } = reply?.properties ?? {}
        asking.sendToQueue(replyTo, Buffer.from(answer), { correlationId: messageId })
      },
      { noAck: true },
    )
    one({ ...hearing, replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await letters()).toBe(1))
  })

  it('is dead-lettered when its sender does not acknowledge refusals, like senders of the previous version', async () => {
    await refusing()
    await asking.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    one({ correlationId: 'c', replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await letters()).toBe(1))
  })

  it.each([
    ['many', { prefetch: 10 }, ''],
    ['large', { inFlightMaxBytes: 100_000 }, ' '.repeat(20_000)],
  ])('does not block others when its sender does not respond, however %s there are', async (_, changes, padding) => {
    await looking.assertQueue(numbers.queue, { durable: true })
    await asking.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    const content = Buffer.from(`{"n":1}${padding}`)
    for (let n = 0; n < 400; n += 1)
      asking.sendToQueue(numbers.queue, content, { ...hearing, replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await left()).toBe(400))
    await refusing(changes)
    await eventually(async () => expect(await letters()).toBe(400)) // at 2 s each this would take more than 80 s
  })

  it('shows its sender an address that cannot make the consumer write elsewhere', async () => {
    const service = countingService()
    await consumer.close()
    consumer = await openBroker(underTest.config, service)
    await refusing()
    const address = new Promise<string>((resolve) => {
      void asking.consume(DIRECT_REPLY_TO, (reply) => resolve(reply?.properties.replyTo), { noAck: true })
    })
    one({ ...hearing, replyTo: DIRECT_REPLY_TO })
    // RabbitMQ 3.10 closes the connection of a publisher that uses this.
    const properties = { replyTo: 'amq.rabbitmq.reply-to.!!!!.x', messageId: 'm', headers: { 'x-error': 'odd' } }
    asking.sendToQueue(await address, Buffer.from('{}'), properties)
    await eventually(() => expect(service.value('replies_late')).toBe(1))
    await eventually(async () => expect(await letters()).toBe(1))
    expect(consumer.notReady()).toBeUndefined()
    expect(service.value('broker_reconnects', { connection: 'replies' })).toBe(0)
  })

  it('is not dead-lettered by a consumer that refuses it again after a crashed one had notified the sender', async () => {
    const producer = await openBroker(underTest.config, quietService, { publishes: [numbers] })
    await looking.consume(
      numbers.queue,
      (message) => {
        const { replyTo, correlationId } = message?.properties ?? {}
        looking.sendToQueue(replyTo, Buffer.from('{"error":"it is odd"}'), {
          correlationId,
          headers: { 'x-error': 'odd' },
        })
      },
      { consumerTag: 'crashes' },
    )
    const { reply } = await producer.requester.command(numbers, { n: 1 }, { deadlineMs: 20_000 })
    expect(reply).toMatchObject({ kind: 'refused', reason: 'odd' })
    await looking.close()
    looking = await model.createChannel()
    const service = countingService()
    await consumer.close()
    consumer = await openBroker(underTest.config, service)
    await refusing()
    await eventually(() =>
      expect(service.value('messages_refused_told', { queue: numbers.queue, reason: 'odd' })).toBe(1),
    )
    await consumer.close()
    expect(await letters()).toBe(0)
    expect(await left()).toBe(0)
    await producer.close()
  })
})
