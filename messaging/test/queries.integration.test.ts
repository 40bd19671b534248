// Queries on RabbitMQ: expired ones are dropped, equal ones share a batch, and none starts while unconfirmed replies reach their limit.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import amqplib, { type ChannelModel, type ConfirmChannel, type Options } from 'amqplib'
import { eventually } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { deadLetterQueue, query } from '../src/contract.ts'
import { NoReply } from '../src/errors.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import type { Memory } from '../src/service.ts'
import { type CountingService, countingService } from './counting-service.ts'
import { type RabbitmqUnderTest, rabbitmqUnderTest } from './rabbitmq.ts'

const queries = query('queries', { body: z.string(), reply: z.array(z.number()) })
const transient = () => Object.assign(new Error('the database is down'), { transient: true })

describe('queries', () => {
  let rabbitmq: RabbitmqUnderTest
  let service: CountingService
  let consumer: Broker
  let peer: ChannelModel
  let channel: ConfirmChannel
  let replyTo: string
  let replies: string[]

  beforeEach(async () => {
    rabbitmq = await rabbitmqUnderTest('queries')
    service = countingService()
    consumer = await openBroker(rabbitmq.config, service)
    peer = await amqplib.connect(rabbitmq.url)
    channel = await peer.createConfirmChannel()
    await channel.assertQueue(queries.queue)
    replyTo = (await channel.assertQueue('', { exclusive: true })).queue
    replies = []
    await channel.consume(replyTo, (message) => void replies.push(message?.properties.correlationId), { noAck: true })
  })
  afterEach(async () => {
    await consumer.close()
    await peer.close()
    await rabbitmq.drop()
  })

  const ask = (name: string, properties: Options.Publish = {}) =>
    channel.sendToQueue(queries.queue, Buffer.from(JSON.stringify(name)), {
      replyTo,
      correlationId: name,
      ...properties,
    })
  const answered = (bytes = 10): Outcome<never> => ({ kind: 'answered', body: Buffer.alloc(bytes, ' '), headers: {} })
  const dropped = (reason: string) => service.value('queries_dropped', { queue: queries.queue, reason })

  it('are dropped without running the handler and without a dead letter when they expire before their turn', async () => {
    const asked: string[] = []
    const { promise: gate, resolve: openGate } = Promise.withResolvers<void>()
    const handler = async (deliveries: readonly Delivery<unknown>[]) => {
      asked.push(...deliveries.map(({ body }) => String(body)))
      await gate
      return deliveries.map(() => answered())
    }
    await consumer.consume(queries, handler, { ...consumerEnvironment.parse({}), queriesMax: 1 })
    ask('first')
    await eventually(() => expect(asked).toEqual(['first']))
    for (let n = 0; n < 20; n += 1) ask(`late ${n}`, { expiration: '200' })
    ask('not expired', { expiration: '60000' })
    ask('without expiration')
    await eventually(() => expect(service.value('messages_consumed', { queue: queries.queue })).toBe(23))
    await new Promise((resolve) => setTimeout(resolve, 300))
    openGate()
    await eventually(() => expect(replies).toEqual(['first', 'not expired', 'without expiration']))
    expect(asked).toEqual(['first', 'not expired', 'without expiration'])
    expect(dropped('expired')).toBe(20)
    expect((await channel.checkQueue(deadLetterQueue(queries.queue))).messageCount).toBe(0)
  })

  it('expire on the queue at the deadline of their sender when no consumer takes them', async () => {
    const sender = await openBroker(rabbitmq.config, service, { publishes: [queries] })
    const asked = sender.requester.request(queries, 'late', { deadlineMs: 3_000 })
    const unanswered = expect(asked).rejects.toThrow(NoReply)
    await eventually(async () => {
      const message = await channel.get(queries.queue)
      expect(message === false ? undefined : message.properties.expiration).toBe('3000')
    })
    channel.nackAll()
    await unanswered
    await eventually(async () => expect((await channel.checkQueue(queries.queue)).messageCount).toBe(0))
    await sender.close()
  })

  it('share one batch when they are equal and waiting, but not with different ones', async () => {
    const batches: string[] = []
    const handler = async (deliveries: readonly Delivery<unknown>[]) => {
      batches.push(deliveries.map(({ body }) => String(body)).join(' '))
      await new Promise((resolve) => setTimeout(resolve, 500))
      return deliveries.map(() => answered())
    }
    // Queries that differ only in their trace and request id are equal.
    for (const [n, name] of ['a', 'b', 'a', 'b', 'a'].entries())
      ask(name, { headers: { traceparent: `00-${'1'.repeat(32)}-${'1'.repeat(15)}${n}-01`, 'x-request-id': `r-${n}` } })
    await channel.waitForConfirms()
    await consumer.consume(queries, handler, { ...consumerEnvironment.parse({}), queriesMax: 1 })
    await eventually(() => expect(replies).toHaveLength(5))
    expect(batches.join(' | ')).toMatch(/^(a \| )?(a a a|a a) \| b b$|^a a a \| b b$|^a \| b b \| a a$/)
  })

  it('share a batch up to the maximum of their contract although they differ, and each gets its own reply', async () => {
    const batches: string[][] = []
    const bodies: string[] = []
    const other = (await channel.assertQueue('', { exclusive: true })).queue
    await channel.consume(
      other,
      (message) => void bodies.push(`${message?.properties.correlationId} ${message?.content}`),
    )
    const handler = async (deliveries: readonly Delivery<unknown>[]): Promise<Outcome<never>[]> => {
      const names = deliveries.map(({ body }) => String(body))
      batches.push(names)
      // The queries may arrive one by one.
      await eventually(() => expect(service.value('messages_consumed', { queue: queries.queue })).toBe(7))
      return names.map((name) => ({ kind: 'answered', body: Buffer.from(`[${name}]`), headers: {} }))
    }
    for (const name of ['1', '2', '3', '4', '5', '6', '7']) ask(name, { replyTo: other })
    await channel.waitForConfirms()
    await consumer.consume({ ...queries, togetherMax: 3 }, handler, {
      ...consumerEnvironment.parse({}),
      queriesMax: 1,
    })
    await eventually(() => expect(bodies).toHaveLength(7))
    expect([...bodies].sort()).toEqual(['1 [1]', '2 [2]', '3 [3]', '4 [4]', '5 [5]', '6 [6]', '7 [7]'])
    expect(batches.flat()).toEqual(['1', '2', '3', '4', '5', '6', '7'])
    expect(Math.max(...batches.map(({ length }) => length))).toBe(3)
  })

  it('do not share a batch with a large one, whatever the maximum of their contract', async () => {
    const batches: string[] = []
    const handler = async (deliveries: readonly Delivery<unknown>[]) => {
      batches.push(deliveries.map(({ body }) => String(body)).join(' '))
      // The queries may arrive one by one.
      await eventually(() => expect(service.value('messages_consumed', { queue: queries.queue })).toBe(7))
      return deliveries.map(() => answered())
    }
    const isLarge: (typeof queries)['isLarge'] = (headers) => headers['x-large'] === true
    for (const name of ['0', '1', 'large 1', '2', 'large 2', '3', '4'])
      ask(name, { headers: { 'x-large': name.startsWith('large') } })
    await channel.waitForConfirms()
    const config = { ...consumerEnvironment.parse({}), queriesMax: 1 }
    await consumer.consume({ ...queries, isLarge, togetherMax: 10 }, handler, config)
    await eventually(() => expect(replies).toHaveLength(7))
    expect(batches.filter((batch) => batch.includes('large'))).toEqual(['large 1', 'large 2'])
    expect(batches.length).toBeLessThan(7)
  })

  it('are answered while large ones run one after the other', async () => {
    const [large, small] = [Array.from({ length: 20 }, (_, n) => `large ${n}`), ['small 1', 'small 2', 'small 3']]
    const gates = large.map(() => Promise.withResolvers<void>())
    const begun: string[] = []
    const handler = async (deliveries: readonly Delivery<unknown>[]) => {
      const [name] = deliveries.map(({ body }) => String(body))
      begun.push(name ?? '')
      await gates[large.indexOf(name ?? '')]?.promise
      return deliveries.map(() => answered())
    }
    const isLarge: (typeof queries)['isLarge'] = (headers) => headers['x-large'] === true
    const config = { ...consumerEnvironment.parse({}), queriesMax: 3 }
    await consumer.consume({ ...queries, isLarge }, handler, config)
    for (const name of large) ask(name, { headers: { 'x-large': true } })
    await eventually(() => expect(begun).toEqual(['large 0']))
    for (const name of small) ask(name)
    await eventually(() => expect([...replies].sort()).toEqual(small))
    for (const [n, { resolve }] of gates.entries()) {
      await eventually(() => expect(begun.slice(4)).toEqual(large.slice(1, n + 1)))
      resolve()
    }
    await eventually(() => expect(replies).toHaveLength(23))
  })

  const twoMegabytes: Memory = { limit: (buffer, _, { maxUseful }) => (buffer === 'pages' ? 2_000_000 : maxUseful) }
  it.each([
    ['set in the configuration', { CONSUMER_REPLIES_MOST_BYTES: '2000000' }, {}],
    ['derived from the memory', {}, { memory: twoMegabytes }],
  ])(
    'do not start while unconfirmed replies reach the limit %s, and all are answered',
    async (_, environment, memory) => {
      const own = await openBroker(rabbitmq.config, { ...service, ...memory })
      let built = 0
      let peakBytes = 0
      const inFlight = () => built - 1_000_000 * (service.value('replies_sent', { queue: queries.queue }) ?? 0)
      const handler = async (deliveries: readonly Delivery<unknown>[]) => {
        built += deliveries.length * 1_000_000
        peakBytes = Math.max(peakBytes, inFlight())
        return deliveries.map(() => answered(1_000_000))
      }
      await own.consume(queries, handler, { ...consumerEnvironment.parse(environment), queriesMax: 2 })
      for (let n = 0; n < 100; n += 1) ask(String(n))
      await eventually(() => expect(replies).toHaveLength(100))
      expect(peakBytes).toBeLessThanOrEqual(4_000_000)
      await own.close()
    },
  )

  it('are retried when they fail while others succeed, and the consumer stays subscribed', async () => {
    let failures = 0
    const handler = async (deliveries: readonly Delivery<unknown>[]) => {
      if (deliveries.some(({ body }) => body === 'bad') && failures < 20) {
        failures += 1
        throw transient()
      }
      return deliveries.map(() => answered())
    }
    const environment = { CONSUMER_RETRY_MOST_MS: '50', CONSUMER_HOLD_MOST_MS: '300' }
    const subscription = await consumer.consume(queries, handler, consumerEnvironment.parse(environment), async () => {
      throw new Error('the consumer left the queue')
    })
    ask('bad')
    for (let n = 0; failures < 20; n += 1) {
      ask(`good ${n}`)
      await eventually(() => expect(replies).toContain(`good ${n}`))
    }
    await eventually(() => expect(replies).toContain('bad'))
    expect(subscription.notReady()).toBeUndefined()
  })
})
