// A sender can use any reply address and correlation id. Hostile ones must not prevent the replies to valid requests.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { eventually } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { query } from '../src/contract.ts'
import { healthcheck } from '../src/contracts.ts'
import { DIRECT_REPLY_TO } from '../src/outgoing/reply.ts'
import { quietService } from '../src/testing.ts'
import { type CountingService, countingService } from './counting-service.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'
import { openRawPublisher, type RawPublisher } from './raw-amqp.ts'

/** A reply address as RabbitMQ creates it: it names a process on the given node, and a key. */
const onNode = (node: string) => {
  const name = Buffer.from(node)
  const process = Buffer.from([0, 0, 0x51, 0xad, 0, 0, 0, 0, 0x6b, 8, 0x9b, 0x75])
  const bytes = Buffer.concat([Buffer.from([131, 88, 118, 0, name.length]), name, process])
  return `amq.rabbitmq.reply-to.${bytes.toString('base64')}.x`
}
/** Each of these makes RabbitMQ 3.10 close the publisher's connection (541). */
const ADDRESSES = [
  'amq.rabbitmq.reply-to.!!!!.x',
  'amq.rabbitmq.reply-to.====.x',
  'amq.rabbitmq.reply-to.AAAA.x',
  'amq.rabbitmq.reply-to.g1h2AA9yZXBseUAxMDU2NzYxODAAAFFtAAAAAGsIm3U=.x',
  'amq.rabbitmq.reply-to.g1h2AA9yZXBseUAxMDU2NzYxODAAAFFtAAAAAGsIm3U.x',
  onNode('reply@1'),
  onNode('reply@99999999999999999999'),
  onNode('reply'),
]

/** The address in the process format of Erlang before version 23, which has shorter numbers. The broker accepts it as well. */
const inOldForm = (address: string, node = '') => {
  const [start = '', process = '', key = ''] =
    /^(amq\.rabbitmq\.reply-to)\.([^.]+)\.(.*)$/.exec(address)?.slice(1) ?? []
  const bytes = Buffer.from(process, 'base64')
  const old = Buffer.concat([Buffer.from([131, 103]), bytes.subarray(2, -4), Buffer.from([0])])
  old.write(node, old.length - 9 - node.length)
  return `${start}.${old.toString('base64')}.${key}`
}

const underTest = rabbitmqOfFile('hostile-replies')

describe('queries with hostile reply properties', () => {
  let raw: RawPublisher
  let producer: Broker
  let counted: CountingService
  let number = 0
  let answered = 0
  let words = query('unset', { body: z.unknown(), reply: z.array(z.string()) })

  beforeEach(async () => {
    number += 1
    answered = 0
    words = query(`words_${number}`, words)
    counted = countingService()
    raw = underTest.own(await openRawPublisher(underTest.url))
    const publishes = [words, healthcheck]
    producer = underTest.own(await openBroker(underTest.config, quietService, { publishes }))
    const consumer = underTest.own(await openBroker(underTest.config, counted))
    await consumer.consume(
      words,
      async (deliveries) => {
        answered += deliveries.length
        return deliveries.map(() => ({ kind: 'answered', body: Buffer.from('["yes"]'), headers: {} }))
      },
      consumerEnvironment.parse({}),
    )
  })

  const validRequest = async () => (await producer.requester.request(words, [], { deadlineMs: 60_000 })).body()
  const put = (properties: object, bytes = '[]') => raw.publish(words.queue, Buffer.from(bytes), properties)

  it.each(ADDRESSES)('do not close the connection for replies: %s', async (address) => {
    for (let count = 0; count < 20; count += 1) await put({ replyTo: Buffer.from(address) })
    expect(await validRequest()).toEqual(['yes'])
    await eventually(() => expect(counted.value('messages_consumed', { queue: words.queue })).toBe(21))
    expect(await validRequest()).toEqual(['yes'])
    expect(counted.value('broker_reconnects', { connection: 'replies' })).toBe(0)
  })

  // In an earlier version, the handler read a whole list for each of these queries, and valid requests waited for up to 20 s.
  it.each(ADDRESSES.slice(0, 3))(
    'are dropped without running the handler when no broker can have created the address: %s',
    async (address) => {
      for (let count = 0; count < 20; count += 1) await put({ replyTo: Buffer.from(address) })
      expect(await validRequest()).toEqual(['yes'])
      await eventually(() => expect(counted.value('messages_consumed', { queue: words.queue })).toBe(21))
      expect(answered).toBe(1)
    },
  )

  it('are dropped without running the handler once RabbitMQ 3 has reported the node of their address as unknown', async () => {
    await put({ replyTo: Buffer.from(onNode('reply@1')) })
    expect(await validRequest()).toEqual(['yes'])
    expect(await validRequest()).toEqual(['yes'])
    const before = answered
    for (let count = 0; count < 20; count += 1) await put({ replyTo: Buffer.from(onNode('reply@1')) })
    await eventually(() => expect(counted.value('messages_consumed', { queue: words.queue })).toBe(23))
    expect(await validRequest()).toEqual(['yes'])
    // RabbitMQ 4.3 returns such a reply without closing the connection, so the node counts as known there.
    if (underTest.version.startsWith('3.')) expect(answered - before).toBe(1)
  })

  it('do not make an unknown node look known when their address has the process format of older brokers', async () => {
    const peer = await connect(underTest.url)
    const channel = await peer.createChannel()
    await channel.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const own = new Promise<string>((resolve) => {
      void channel.consume(queue, (message) => resolve(message?.properties.replyTo), { noAck: true })
    })
    channel.sendToQueue(queue, Buffer.from(''), { replyTo: DIRECT_REPLY_TO })
    const address = await own
    await put({ replyTo: Buffer.from(inOldForm(address)) })
    expect(await validRequest()).toEqual(['yes'])
    for (let count = 0; count < 5; count += 1) await put({ replyTo: Buffer.from(inOldForm(address, 'zzz')) })
    await eventually(() => expect(counted.value('messages_consumed', { queue: words.queue })).toBe(7))
    expect(await validRequest()).toEqual(['yes'])
    expect(counted.value('broker_reconnects', { connection: 'replies' })).toBe(0)
    await peer.close()
  })

  it('do not block valid requests, even when 1,500 forged addresses arrive at once', async () => {
    await validRequest() // now the broker's own node is known
    for (let count = 0; count < 1_500; count += 1) await put({ replyTo: Buffer.from(onNode(`reply@${count}`)) })
    expect(await validRequest()).toEqual(['yes'])
    await eventually(() => expect(counted.value('messages_consumed', { queue: words.queue })).toBe(1_502))
    expect(counted.value('broker_reconnects', { connection: 'replies' })).toBe(0)
  })

  it('cause only one attempt to reply each when AMQP cannot encode the properties', async () => {
    await validRequest()
    const replyTo = Buffer.from('amq.gen-JzTY20BRgKO-HjmUJj0wLg')
    for (let count = 0; count < 1_000; count += 1) await put({ replyTo, correlationId: Buffer.alloc(86, 0xff) })
    expect(await validRequest()).toEqual(['yes'])
    await eventually(() =>
      expect(counted.value('messages_not_accepted', { queue: 'replies', reason: 'unwritable' })).toBe(1_000),
    )
  })
})
