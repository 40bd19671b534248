// A missing queue, or one with other properties, does not affect messages to other queues. Also tests how a producer waits for consumers.
import { createConnection, createServer, type Server } from 'node:net'
import { beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, connect } from 'amqplib'
import { eventually, startTcpProxy, type TcpProxy } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker, waitForConsumers } from '../src/broker.ts'
import { consumerEnvironment, type RabbitmqConfig } from '../src/config.ts'
import { command, deadLetterQueue } from '../src/contract.ts'
import { healthcheck, orderProcessing } from '../src/contracts.ts'
import { Misconfigured } from '../src/errors.ts'
import type { Delivery } from '../src/handler.ts'
import { quietService } from '../src/testing.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

const shape = { body: z.object({ n: z.number() }), result: z.string() }
const underTest = rabbitmqOfFile('queues')
let proxy: TcpProxy
let channel: Channel
let number = 0
let kept = command('unset', shape)
let deleted = command('unset', shape)

beforeEach(async () => {
  proxy = underTest.own(await startTcpProxy(underTest.server))
  channel = await underTest.own(await connect(underTest.url)).createChannel()
  number += 1
  kept = command(`kept_${number}`, shape)
  deleted = command(`deleted_${number}`, shape)
  await channel.assertQueue(kept.queue, { durable: true })
  await channel.assertQueue(deleted.queue, { durable: true })
})

const start = async (topology: RabbitmqConfig['topology'] = 'check', service = quietService): Promise<Broker> => {
  const servers = [{ host: '127.0.0.1', port: proxy.port }]
  const config = { ...underTest.config, servers, topology, reconnectMaxMs: 200 }
  return underTest.own(await openBroker(config, service, { publishes: [deleted, kept] }))
}

describe('a producer that may only check its queues', () => {
  it('refuses messages to a deleted queue with an error that names it, and confirms all messages to the other queue', async () => {
    const producer = await start()
    const sent: Promise<unknown>[] = []
    const refused: Promise<unknown>[] = []
    for (let n = 0; n < 1_000; n += 1) {
      sent.push(producer.publisher.publish(kept, { n }))
      if (n === 100) await channel.deleteQueue(deleted.queue)
      if (n > 100 && n % 10 === 0) refused.push(producer.publisher.publish(deleted, { n }))
      if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const reported = await Promise.allSettled(sent)
    expect(reported.filter(({ status }) => status === 'rejected')).toEqual([])
    for (const each of refused)
      await expect(each).rejects.toMatchObject({
        reason: 'unroutable',
        message: expect.stringContaining(deleted.queue),
      })
    expect((await channel.checkQueue(kept.queue)).messageCount).toBe(1_000)
    expect(producer.notReady()).toBeUndefined()
  })

  it('continues after a reconnection although a queue is missing, and uses it as soon as it exists again', async () => {
    const logged: string[] = []
    const log = { ...quietService.log, error: (_: object, message: string) => logged.push(message) }
    const producer = await start('check', { ...quietService, log })
    await channel.deleteQueue(deleted.queue)
    proxy.cut()
    await eventually(async () => void (await producer.publisher.publish(kept, { n: 1 })))
    await expect(producer.publisher.publish(deleted, { n: 1 })).rejects.toMatchObject({ reason: 'unroutable' })
    expect(logged.filter((line) => line.includes(`queue ${deleted.queue} is missing`))).not.toEqual([])
    await channel.assertQueue(deleted.queue, { durable: true })
    await producer.publisher.publish(deleted, { n: 1 })
  })

  it('is not ready and reports why while all of its queues are missing', async () => {
    const producer = await start()
    for (const { queue } of [kept, deleted]) {
      await channel.deleteQueue(queue)
      await expect(producer.publisher.publish({ ...kept, queue }, { n: 1 })).rejects.toThrow(queue)
    }
    await eventually(() => expect(producer.notReady()).toContain(`no queue '${kept.queue}'`))
    for (const { queue } of [kept, deleted]) await channel.assertQueue(queue, { durable: true })
    await eventually(() => expect(producer.notReady()).toBeUndefined())
  })
})

it('lets a producer continue after a reconnection although one of its queues now has other properties (406)', async () => {
  const producer = await start('declare')
  await channel.deleteQueue(deleted.queue)
  await channel.assertQueue(deleted.queue, { durable: true, maxLength: 5 })
  proxy.cut()
  await eventually(async () => void (await producer.publisher.publish(kept, { n: 1 })))
  await producer.publisher.publish(deleted, { n: 1 })
})

it('leaves no dead letters of expired queries, although the broker dead-letters expired commands', async () => {
  const servers = [{ host: '127.0.0.1', port: proxy.port }]
  const publishes = [orderProcessing, healthcheck]
  const producer = underTest.own(await openBroker({ ...underTest.config, servers }, quietService, { publishes }))
  for (const { queue } of publishes) await channel.assertQueue(deadLetterQueue(queue), { durable: true })
  const asked = Array.from({ length: 50 }, () => producer.requester.request(orderProcessing, [], { deadlineMs: 2_000 }))
  await producer.publisher.publish(healthcheck, [], { expiration: 200 })
  for (const each of await Promise.allSettled(asked)) expect(each).toMatchObject({ reason: { name: 'NoReply' } })
  const waiting = async ({ queue }: { queue: string }) => (await channel.checkQueue(queue)).messageCount
  await eventually(async () => expect(await waiting({ queue: deadLetterQueue(healthcheck.queue) })).toBe(1))
  await eventually(async () => expect(await waiting(orderProcessing)).toBe(0))
  expect(await waiting({ queue: deadLetterQueue(orderProcessing.queue) })).toBe(0)
})

it('consumes a queue while large messages of another one can be neither applied nor dead-lettered', async () => {
  await channel.assertQueue(deadLetterQueue(deleted.queue), { maxLength: 1, overflow: 'reject-publish' })
  await channel.assertQueue(deadLetterQueue(kept.queue))
  const broker = await start()
  const config = { ...consumerEnvironment.parse({ CONSUMER_RETRY_MOST_MS: '200' }), inFlightMaxBytes: 100_000 }
  const stuck = await broker.consume(deleted, async () => [], config)
  for (let n = 0; n < 30; n += 1) channel.sendToQueue(deleted.queue, Buffer.from(`{"bad":1}${' '.repeat(20_000)}`))
  await eventually(() => expect(stuck.notReady()).toContain('dead-letter'))
  const seen: number[] = []
  const handler = async (deliveries: readonly Delivery<{ n: number }>[]) => {
    seen.push(...deliveries.map(({ body }) => body.n))
    return deliveries.map(() => ({ kind: 'applied' as const, result: 'ok', repeated: false }))
  }
  await broker.consume(kept, handler, config)
  channel.sendToQueue(kept.queue, Buffer.from('{"n":1}'))
  await eventually(() => expect(seen).toEqual([1]))
  await channel.deleteQueue(deadLetterQueue(deleted.queue))
})

describe('waiting for consumers', () => {
  it('fails as misconfigured when the broker allows only one channel', async () => {
    const limited = await allowingChannels(1)
    const servers = [{ host: '127.0.0.1', port: limited.port }]
    try {
      const config = { ...underTest.config, servers }
      await expect(openBroker(config, quietService, { publishes: [kept] })).rejects.toThrow('channel_max')
      const unchecked = { ...config, topology: 'none' as const }
      const producer = underTest.own(await openBroker(unchecked, quietService, { publishes: [kept] }))
      const waiting = waitForConsumers(producer, [kept], quietService, 20_000)
      await expect(waiting).rejects.toThrow(Misconfigured)
    } finally {
      limited.server.close()
    }
  })

  it('needs no more than two channels', async () => {
    const limited = await allowingChannels(2)
    const servers = [{ host: '127.0.0.1', port: limited.port }]
    try {
      const publishes = [kept, deleted]
      const producer = underTest.own(await openBroker({ ...underTest.config, servers }, quietService, { publishes }))
      expect(await producer.withoutConsumer(publishes)).toEqual(publishes.map(({ queue }) => queue))
    } finally {
      limited.server.close()
    }
  })

  it('does not report a missing consumer when only the connection is lost', async () => {
    const logged: string[] = []
    const log = { ...quietService.log, info: (_: object, message: string) => logged.push(message) }
    const producer = await start()
    await channel.consume(kept.queue, () => {})
    const held = proxy.holdAnswerTo(kept.queue)
    const waiting = waitForConsumers(producer, [kept], { ...quietService, log }, 20_000)
    await held.answered
    held.lose()
    await waiting
    expect(logged.filter((line) => line.includes('waiting for a consumer'))).toEqual([])
  })

  it('ends when the process stops, although the broker does not respond', async () => {
    const producer = await start()
    const stop = new AbortController()
    proxy.weather({ kind: 'black hole', towards: 'both' })
    const waiting = waitForConsumers(producer, [kept], { ...quietService, stopping: stop.signal }, 20_000)
    const since = Date.now()
    stop.abort()
    await expect(waiting).rejects.toThrow('stopped')
    expect(Date.now() - since).toBeLessThan(10_000) // well below the limit of 20 s
    proxy.weather(undefined)
  })
})

/** The method connection.tune, in which the broker announces how many channels it allows. */
const TUNE = Buffer.from([0, 10, 0, 30])

/** A proxy that makes the broker announce at most `max` channels for a connection. */
async function allowingChannels(max: number): Promise<{ server: Server; port: number }> {
  const server = createServer((client) => {
    const broker = createConnection(underTest.server)
    client.pipe(broker).on('error', () => {})
    broker.on('data', (data) => {
      const tune = data.indexOf(TUNE)
      if (tune >= 0) data.writeUInt16BE(max, tune + TUNE.length)
      client.write(data)
    })
    broker.on('close', () => client.destroy())
    client.on('error', () => {}).on('close', () => broker.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { server, port: address.port }
}
