// What a sender is told, compared with what RabbitMQ and the consumer really did: only certain outcomes are reported as certain.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { startTcpProxy, type TcpProxy } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import type { RabbitmqConfig } from '../src/config.ts'
import type { Connection } from '../src/connection/connection.ts'
import { Supervised } from '../src/connection/supervised.ts'
import { command } from '../src/contract.ts'
import { NotAccepted, OutcomeUnknown } from '../src/errors.ts'
import { Publisher } from '../src/outgoing/publisher.ts'
import { Requester } from '../src/outgoing/requester.ts'
import { quietService } from '../src/testing.ts'
import { type RabbitmqUnderTest, rabbitmqUnderTest } from './rabbitmq.ts'

describe('the result that a sender gets', () => {
  let underTest: RabbitmqUnderTest
  let proxy: TcpProxy
  let model: ChannelModel
  let channel: Channel
  let number = 0
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })
  const open: Broker[] = []

  beforeAll(async () => {
    underTest = await rabbitmqUnderTest('outcomes')
  })
  afterAll(async () => await underTest.drop())
  beforeEach(async () => {
    proxy = await startTcpProxy(underTest.server)
    model = await connect(underTest.url)
    channel = await model.createChannel()
    number += 1
    numbers = command(`outcomes_${number}`, numbers)
  })
  afterEach(async () => {
    proxy.weather(undefined)
    await Promise.all(open.splice(0).map((broker) => broker.close()))
    await model.close()
    await proxy.close()
  })

  const start = async (changes: Partial<RabbitmqConfig> = {}): Promise<Broker> => {
    const servers = [{ host: '127.0.0.1', port: proxy.port }]
    const config = { ...underTest.config, servers, confirmTimeoutMs: 1_000, ...changes }
    const broker = await openBroker(config, quietService, { publishes: [numbers] })
    open.push(broker)
    return broker
  }
  /** Answers each command as a consumer does, `afterMs` later. */
  const answering = async (afterMs = 0) => {
    await channel.assertQueue(numbers.queue, { durable: true })
    await channel.consume(
      numbers.queue,
      (message) => {
        if (message === null) return
        const { replyTo, correlationId } = message.properties
        setTimeout(() => channel.sendToQueue(replyTo, Buffer.from('"done"'), { correlationId }), afterMs)
      },
      { noAck: true },
    )
  }

  it('is "unknown" after a nack: a queue that crashes also rejects what it has stored', async () => {
    await channel.assertQueue(numbers.queue, { durable: true, maxLength: 1, overflow: 'reject-publish' })
    const producer = await start({ topology: 'none' })
    // A quorum queue notices its length a little later than a classic one.
    const untilRejected = async () => {
      for (let n = 0; n < 1_000; n += 1) await producer.publisher.publish(numbers, { n })
    }
    await expect(untilRejected()).rejects.toThrow(OutcomeUnknown)
  })

  it.each([
    ['written', 20],
    ['not yet written', 0],
  ])('is the broker’s, although the process stood still longer than the timeout (messages %s)', async (_, ms) => {
    const producer = await start()
    const sent = Array.from({ length: 100 }, (_, n) => producer.publisher.publish(numbers, { n }))
    // Their confirms arrive while the process stands still.
    if (ms > 0) setTimeout(() => standStill(1_500))
    else standStill(1_500)
    const reported = await Promise.allSettled(sent)
    expect(reported.filter(({ status }) => status === 'rejected')).toEqual([])
  })

  it('is the outcome of a command, although the process stood still longer than the deadline', async () => {
    const producer = await start()
    await answering()
    const asking = producer.requester.command(numbers, { n: 1 }, { deadlineMs: 1_000 })
    await new Promise((resolve) => setTimeout(resolve, 1))
    standStill(1_500)
    expect((await asking).reply).toEqual({ kind: 'applied', result: 'done' })
  })

  /** A requester whose messages reach the broker, while `confirm` decides what their sender receives. */
  const requesterWith = async (confirm: () => Promise<void>): Promise<Requester> => {
    const asking = await model.createConfirmChannel()
    const supervised = new Supervised<Connection>({
      name: 'connection',
      service: quietService,
      reconnectMaxMs: 1,
      open: () => new Promise(() => {}),
      close: async () => {},
    })
    const publisher = new Publisher(supervised, underTest.config, quietService)
    publisher.publish = async ({ queue }, body, properties = {}) => {
      asking.sendToQueue(queue, Buffer.from(JSON.stringify(body)), properties)
      await confirm()
      return { messageId: String(properties.messageId) }
    }
    const requester = new Requester(publisher, quietService)
    await requester.attach(asking)
    return requester
  }

  it('is the outcome of an answered command, although its confirm is late', async () => {
    await answering()
    const requester = await requesterWith(() => new Promise(() => {}))
    const { reply } = await requester.command(numbers, { n: 1 }, { deadlineMs: 60_000 })
    expect(reply).toEqual({ kind: 'applied', result: 'done' })
  })

  it('is the outcome of a command that is answered after its confirm timed out', async () => {
    await answering(100)
    const requester = await requesterWith(() => Promise.reject(new OutcomeUnknown('no confirm')))
    const { reply } = await requester.command(numbers, { n: 1 }, { deadlineMs: 60_000 })
    expect(reply).toEqual({ kind: 'applied', result: 'done' })
  })

  it('is "unknown" when neither a confirm nor a reply comes', async () => {
    await channel.assertQueue(numbers.queue, { durable: true })
    const requester = await requesterWith(() => Promise.reject(new OutcomeUnknown('no confirm')))
    await expect(requester.command(numbers, { n: 1 }, { deadlineMs: 200 })).rejects.toThrow('no confirm')
  })

  it('is "not accepted" at once when the broker did not accept the command, although a long wait was requested', async () => {
    const requester = await requesterWith(() => Promise.reject(new NotAccepted('blocked', 'an alarm')))
    await expect(requester.command(numbers, { n: 1 }, { deadlineMs: 60_000 })).rejects.toThrow('an alarm')
  })
})

/** Blocks the event loop, like a suspended process. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
