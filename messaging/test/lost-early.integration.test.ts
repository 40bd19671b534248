// Connections and channels that close as soon as they open or that open too late, and brokers that accept only small frames.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, connect } from 'amqplib'
import { eventually } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment, type RabbitmqConfig } from '../src/config.ts'
import { command, deadLetterQueue } from '../src/contract.ts'
import type { Service } from '../src/service.ts'
import { quietService } from '../src/testing.ts'
import { closeFrame, type FrameProxy, startFrameProxy } from './frame-proxy.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

const OPEN_OK = '10.41'
const TUNE = '10.30'
const CONFIRM_OK = '85.11'
const DECLARE_OK = '50.11'
const consuming = consumerEnvironment.parse({ CONSUMER_RETRY_MOST_MS: '50' })

const underTest = rabbitmqOfFile('lost_early')

describe('messaging', () => {
  let proxy: FrameProxy
  let config: RabbitmqConfig
  let channel: Channel
  let queueNumber = 0
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })
  const logged: string[] = []
  const service: Service = {
    ...quietService,
    log: { ...quietService.log, warn: (_: object, message: string) => void logged.push(message) },
  }

  beforeEach(async () => {
    channel = await underTest.own(await connect(underTest.url)).createChannel()
    proxy = underTest.own(await startFrameProxy(underTest.server))
    config = { ...underTest.config, servers: [proxy.server], reconnectMaxMs: 100, connectTimeoutMs: 1_000 }
    queueNumber += 1
    numbers = command(`lost_early_${queueNumber}`, numbers)
    logged.length = 0
  })

  const start = async (changes: Partial<RabbitmqConfig> = {}): Promise<Broker> =>
    underTest.own(await openBroker({ ...config, ...changes }, service, { publishes: [numbers] }))
  const consume = async (broker: Broker, seen: number[]) =>
    await broker.consume(
      numbers,
      async (deliveries) =>
        deliveries.map(({ body }) => {
          seen.push(body.n)
          return { kind: 'applied', result: 'done', repeated: false }
        }),
      consuming,
    )
  const send = (content: string, headers = {}) =>
    channel.sendToQueue(numbers.queue, Buffer.from(content), { persistent: true, headers })

  it.each([
    ['a connection', 320, 'CONNECTION_FORCED - drained', OPEN_OK],
    ['a connection', 541, 'INTERNAL_ERROR', OPEN_OK],
    ['a channel', 541, 'INTERNAL_ERROR', CONFIRM_OK],
  ])(
    'becomes ready although the broker closes %s with %i six times as soon as it opens',
    async (closed, code, text, openedBy) => {
      let closes = 6
      proxy.change(({ bytes, method, channel: number }) => {
        if (method !== openedBy || closes === 0) return bytes
        closes -= 1
        return Buffer.concat([bytes, closeFrame(code, text, closed === 'a channel' ? number : 0)])
      })
      const seen: number[] = []
      const broker = await start()
      const consumption = consume(broker, seen)
      await eventually(() => expect(broker.notReady()).toBeUndefined())
      await consumption
      send('{"n":1}')
      await eventually(() => expect(seen).toEqual([1]))
      expect(logged.join('\n')).toContain(`${code}`)
      expect(logged.join('\n')).toContain(text)
    },
  )

  it('logs why the connection was lost, also for each of its channels', async () => {
    const broker = await start()
    await consume(broker, [])
    // There is one connection each for publishing, for replies and for consuming.
    expect(proxy.send(closeFrame(320, 'gone for the test'))).toBe(3)
    await eventually(() => expect(logged).toHaveLength(6))
    for (const line of logged) expect(line).toContain('the broker closed the connection: 320 gone for the test')
  })

  it('logs the broker’s reason when it refuses the vhost', async () => {
    const stop = new AbortController()
    const opening = openBroker({ ...config, vhost: 'nowhere' }, { ...service, stopping: stop.signal })
    const ended = expect(opening).rejects.toThrow('stopped')
    await eventually(() => expect(logged.join('\n')).toMatch(/: the broker closed the connection: 530 .*nowhere/))
    stop.abort()
    await ended
  })

  it('closes a channel that opens after its deadline: one subscription remains, and each message is handled once', async () => {
    const broker = await start({ connectTimeoutMs: 300 })
    let late = 1
    proxy.change(async ({ bytes, method }, nth) => {
      if (nth === 2 && method === DECLARE_OK && late-- > 0) await new Promise((resolve) => setTimeout(resolve, 700))
      return bytes
    })
    const seen: number[] = []
    await consume(broker, seen)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await eventually(async () => expect((await channel.checkQueue(numbers.queue)).consumerCount).toBe(1))
    for (let n = 0; n < 6; n += 1) send(`{"n":${n}}`)
    await eventually(() => expect(seen).toHaveLength(6))
    expect(seen).toEqual([0, 1, 2, 3, 4, 5])
  })

  it.each(['the minimum size', 8_192, 131_072])(
    'dead-letters a message without the headers that do not fit into one frame (frame size: %s)',
    async (size) => {
      // RabbitMQ 4.1 and later reject clients with a frame size below 8,192 bytes.
      const minimum = Number.parseInt(underTest.version, 10) >= 4 ? 8_192 : 4_096
      const frameMax = typeof size === 'number' ? size : minimum
      // The client agrees to this size, and the broker enforces it.
      proxy.change(({ bytes, method }) => {
        if (method === TUNE) bytes.writeUInt32BE(frameMax, 7 + 4 + 2)
        return bytes
      })
      const broker = await start()
      await consume(broker, [])
      const wide = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`h${n}`, 'x'.repeat(1_000)]))
      send(`{"n":"${'é'.repeat(200_000)}"}`, wide)
      send('{"n":"small"}')
      const letters = deadLetterQueue(numbers.queue)
      await eventually(async () => expect((await channel.checkQueue(letters)).messageCount).toBe(2))
      const first = await channel.get(letters, { noAck: true })
      if (first === false) throw new Error('no dead letter')
      expect(first.content).toHaveLength(400_008)
      expect(first.properties.headers).toMatchObject({
        'x-reason': 'invalid',
        'x-dropped': expect.stringContaining('header h'),
      })
    },
  )
})
