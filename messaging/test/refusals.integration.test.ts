// Each refused message is reported exactly once: its sender receives the refusal, or the message is dead-lettered.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { eventually } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { command, deadLetterQueue } from '../src/contract.ts'
import { DIRECT_REPLY_TO } from '../src/outgoing/reply.ts'
import { quietService } from '../src/testing.ts'
import { countingService } from './counting-service.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

const config = consumerEnvironment.parse({})

const underTest = rabbitmqOfFile('refusals')

describe('a refused message', () => {
  let model: ChannelModel
  let sender: ChannelModel
  let observing: Channel
  let sending: Channel
  let consumer: Broker
  let number = 0
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })

  beforeEach(async () => {
    number += 1
    numbers = command(`refusals_${number}`, numbers)
    model = underTest.own(await connect(underTest.url))
    observing = await model.createChannel()
    sender = await connect(underTest.url)
    underTest.own({ close: () => sender.close().catch(() => {}) })
    sending = await sender.createChannel()
    consumer = underTest.own(await openBroker(underTest.config, quietService))
  })

  const refusing = (changes: Partial<typeof config> = {}) =>
    consumer.consume(
      numbers,
      async (deliveries) => deliveries.map(() => ({ kind: 'refused' as const, reason: 'odd', error: 'it is odd' })),
      { ...config, ...changes },
    )
  const deadLetters = async () => (await observing.checkQueue(deadLetterQueue(numbers.queue))).messageCount
  const depth = async () => (await observing.checkQueue(numbers.queue)).messageCount
  const sendOne = (properties: object) => sending.sendToQueue(numbers.queue, Buffer.from('{"n":1}'), properties)
  const acknowledgesRefusals = { correlationId: 'c', headers: { 'x-hears-refusals': true } }

  it('is dead-lettered when its sender has disconnected', async () => {
    await observing.assertQueue(numbers.queue, { durable: true })
    await sending.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    sendOne({ ...acknowledgesRefusals, replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await depth()).toBe(1))
    await sender.close()
    await refusing()
    await eventually(async () => expect(await deadLetters()).toBe(1))
  })

  it('is dead-lettered when its reply queue does not exist', async () => {
    await refusing()
    sendOne({ ...acknowledgesRefusals, replyTo: 'amq.gen-of-a-deleted-queue' })
    await eventually(async () => expect(await deadLetters()).toBe(1))
  })

  it.each([
    ['replies that it no longer waits', JSON.stringify({ heard: false })],
    ['sends an invalid acknowledgement', '[]'],
  ])('is dead-lettered when its sender %s', async (_, acknowledgement) => {
    await refusing()
    await sending.consume(
      DIRECT_REPLY_TO,
      (reply) => {
        const { replyTo, messageId } = reply?.properties ?? {}
        sending.sendToQueue(replyTo, Buffer.from(acknowledgement), { correlationId: messageId })
      },
      { noAck: true },
    )
    sendOne({ ...acknowledgesRefusals, replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await deadLetters()).toBe(1))
  })

  it('is dead-lettered when its sender cannot acknowledge refusals, like senders of the previous version', async () => {
    await refusing()
    await sending.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    sendOne({ correlationId: 'c', replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await deadLetters()).toBe(1))
  })

  it.each([
    ['many', { prefetch: 10 }, ''],
    ['large', { inFlightMaxBytes: 100_000 }, ' '.repeat(20_000)],
  ])('does not block the queue when its sender ignores the refusal (%s messages)', async (_, changes, padding) => {
    await observing.assertQueue(numbers.queue, { durable: true })
    await sending.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    const content = Buffer.from(`{"n":1}${padding}`)
    for (let n = 0; n < 400; n += 1)
      sending.sendToQueue(numbers.queue, content, { ...acknowledgesRefusals, replyTo: DIRECT_REPLY_TO })
    await eventually(async () => expect(await depth()).toBe(400))
    await refusing(changes)
    await eventually(async () => expect(await deadLetters()).toBe(400)) // 10 at a time, at 2 s each, would take 80 s
  })

  it.each([
    ['many', { prefetch: 4 }, ''],
    ['large', { inFlightMaxBytes: 100_000 }, 'x'.repeat(20_000)],
  ])('is not dead-lettered while its sender receives each refusal (%s messages)', async (_, changes, more) => {
    const producer = underTest.own(await openBroker(underTest.config, quietService, { publishes: [numbers] }))
    await refusing(changes)
    for (let n = 0; n < 10; n += 1) {
      const { reply } = await producer.requester.command(numbers, { n, more }, { deadlineMs: 20_000 })
      expect(reply).toMatchObject({ kind: 'refused', reason: 'odd' })
    }
    await consumer.close()
    expect([await deadLetters(), await depth()]).toEqual([0, 0])
  })

  it('is dead-lettered when its sender forges a reply address, to which the consumer never publishes', async () => {
    const service = countingService()
    await consumer.close()
    consumer = underTest.own(await openBroker(underTest.config, service))
    await refusing()
    const address = new Promise<string>((resolve) => {
      void sending.consume(DIRECT_REPLY_TO, (reply) => resolve(reply?.properties.replyTo), { noAck: true })
    })
    sendOne({ ...acknowledgesRefusals, replyTo: DIRECT_REPLY_TO })
    // RabbitMQ 3.10 closes the connection of a publisher that uses this reply address.
    const properties = { replyTo: 'amq.rabbitmq.reply-to.!!!!.x', messageId: 'm', headers: { 'x-error': 'odd' } }
    sending.sendToQueue(await address, Buffer.from('{}'), properties)
    await eventually(() => expect(service.value('replies_late')).toBe(1))
    await eventually(async () => expect(await deadLetters()).toBe(1))
    expect(consumer.notReady()).toBeUndefined()
    expect(service.value('broker_reconnects', { connection: 'replies' })).toBe(0)
  })

  it('does not block later replies or the shutdown while the broker blocks the connection for replies', async () => {
    const replying: ChannelModel[] = []
    const connecting = async (...args: Parameters<typeof connect>) => {
      const opened = await connect(...args)
      if (String(args[1]?.clientProperties?.connection_name).endsWith('replies')) replying.push(opened)
      return opened
    }
    await consumer.close()
    consumer = underTest.own(await openBroker(underTest.config, { ...quietService, connect: connecting }))
    const handled: number[] = []
    await consumer.consume(
      numbers,
      async (deliveries) =>
        deliveries.map(({ body: { n } }) => {
          handled.push(n)
          return n === 0
            ? { kind: 'refused', reason: 'odd', error: 'it is odd' }
            : { kind: 'applied', result: 'ok', repeated: false }
        }),
      config,
    )
    await sending.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    // RabbitMQ sends this during a memory alarm.
    replying[0]?.emit('blocked', 'low on memory')
    const properties = { ...acknowledgesRefusals, replyTo: DIRECT_REPLY_TO }
    for (const n of [0, 1]) sending.sendToQueue(numbers.queue, Buffer.from(`{"n":${n}}`), properties)
    await eventually(() => expect(handled).toEqual([0, 1]))
    await consumer.close()
    expect([await deadLetters(), await depth()]).toEqual([1, 0])
  })

  it('is not dead-lettered when a consumer refuses it again after another one notified the sender and crashed', async () => {
    const producer = underTest.own(await openBroker(underTest.config, quietService, { publishes: [numbers] }))
    await observing.consume(
      numbers.queue,
      (message) => {
        const { replyTo, correlationId } = message?.properties ?? {}
        observing.sendToQueue(replyTo, Buffer.from('{"error":"it is odd"}'), {
          correlationId,
          headers: { 'x-error': 'odd' },
        })
      },
      { consumerTag: 'crashes' },
    )
    const { reply } = await producer.requester.command(numbers, { n: 1 }, { deadlineMs: 20_000 })
    expect(reply).toMatchObject({ kind: 'refused', reason: 'odd' })
    await observing.close()
    observing = await model.createChannel()
    const service = countingService()
    await consumer.close()
    consumer = underTest.own(await openBroker(underTest.config, service))
    await refusing()
    await eventually(() =>
      expect(service.value('messages_refused_told', { queue: numbers.queue, reason: 'odd' })).toBe(1),
    )
    await consumer.close()
    expect(await deadLetters()).toBe(0)
    expect(await depth()).toBe(0)
  })
})
