// Compares the outcome that a sender gets with the actual outcome. If the sender cannot know it, the outcome is "unknown".
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
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
import { rabbitmqOfFile } from './rabbitmq.ts'

const underTest = rabbitmqOfFile('outcomes')

describe('the outcome that a sender gets', () => {
  let proxy: TcpProxy
  let model: ChannelModel
  let channel: Channel
  let number = 0
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })

  beforeEach(async () => {
    proxy = underTest.own(await startTcpProxy(underTest.server))
    model = underTest.own(await connect(underTest.url))
    channel = await model.createChannel()
    number += 1
    numbers = command(`outcomes_${number}`, numbers)
  })
  afterEach(() => proxy.weather(undefined))

  const start = async (changes: Partial<RabbitmqConfig> = {}): Promise<Broker> => {
    const servers = [{ host: '127.0.0.1', port: proxy.port }]
    const config = { ...underTest.config, servers, confirmTimeoutMs: 1_000, ...changes }
    return underTest.own(await openBroker(config, quietService, { publishes: [numbers] }))
  }
  /** Replies to each command after `afterMs`, as a consumer does. */
  const replyToCommands = async (afterMs = 0) => {
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

  // A queue that crashes also nacks messages that it has stored.
  it('is "unknown" after a nack', async () => {
    await channel.assertQueue(numbers.queue, { durable: true, maxLength: 1, overflow: 'reject-publish' })
    const producer = await start({ topology: 'none' })
    // A quorum queue enforces its length limit a little later than a classic queue.
    const untilRejected = async () => {
      for (let n = 0; n < 1_000; n += 1) await producer.publisher.publish(numbers, { n })
    }
    await expect(untilRejected()).rejects.toThrow(OutcomeUnknown)
  })

  it.each([
    ['written', true],
    ['not yet written', false],
  ])(
    'is "confirmed" although the process was blocked for longer than the timeout (messages %s)',
    async (_, isWritten) => {
      const producer = await start()
      const sent = Array.from({ length: 100 }, (_, n) => producer.publisher.publish(numbers, { n }))
      // The confirms arrive while the process is blocked.
      if (isWritten) setTimeout(() => blockEventLoop(1_500))
      else blockEventLoop(1_500)
      const reported = await Promise.allSettled(sent)
      expect(reported.filter(({ status }) => status === 'rejected')).toEqual([])
    },
  )

  it('is the reply to a command although the process was blocked for longer than the deadline', async () => {
    const producer = await start()
    await replyToCommands()
    const pending = producer.requester.command(numbers, { n: 1 }, { deadlineMs: 1_000 })
    await new Promise((resolve) => setTimeout(resolve, 1))
    blockEventLoop(1_500)
    expect((await pending).reply).toEqual({ kind: 'applied', result: 'done' })
  })

  /** A requester whose messages reach the broker. `confirm` replaces the broker's confirm. */
  const requesterWith = async (confirm: () => Promise<void>): Promise<Requester> => {
    const sending = await model.createConfirmChannel()
    const supervised = new Supervised<Connection>({
      name: 'connection',
      service: quietService,
      reconnectMaxMs: 1,
      open: () => new Promise(() => {}),
      close: async () => {},
    })
    const publisher = new Publisher(supervised, underTest.config, quietService)
    publisher.publish = async ({ queue }, body, properties = {}) => {
      sending.sendToQueue(queue, Buffer.from(JSON.stringify(body)), properties)
      await confirm()
      return { messageId: String(properties.messageId) }
    }
    const requester = new Requester(publisher, quietService)
    await requester.attach(sending)
    return requester
  }

  it('is the reply to a command although its confirm never arrives', async () => {
    await replyToCommands()
    const requester = await requesterWith(() => new Promise(() => {}))
    const { reply } = await requester.command(numbers, { n: 1 }, { deadlineMs: 60_000 })
    expect(reply).toEqual({ kind: 'applied', result: 'done' })
  })

  it('is the reply to a command although it arrives after the confirm timed out', async () => {
    await replyToCommands(100)
    const requester = await requesterWith(() => Promise.reject(new OutcomeUnknown('no confirm')))
    const { reply } = await requester.command(numbers, { n: 1 }, { deadlineMs: 60_000 })
    expect(reply).toEqual({ kind: 'applied', result: 'done' })
  })

  it('is "unknown" when neither a confirm nor a reply arrives', async () => {
    await channel.assertQueue(numbers.queue, { durable: true })
    const requester = await requesterWith(() => Promise.reject(new OutcomeUnknown('no confirm')))
    await expect(requester.command(numbers, { n: 1 }, { deadlineMs: 200 })).rejects.toThrow('no confirm')
  })

  it('is "not accepted" at once when the broker did not accept the command, whatever the deadline', async () => {
    const requester = await requesterWith(() => Promise.reject(new NotAccepted('blocked', 'an alarm')))
    const deadlineMs = 3_600_000 // longer than the timeout of the test
    await expect(requester.command(numbers, { n: 1 }, { deadlineMs })).rejects.toThrow('an alarm')
  })
})

/** Blocks the process, as if it were suspended. */
function blockEventLoop(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
