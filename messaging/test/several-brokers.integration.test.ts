// With several servers in RABBITMQ_HOST, messaging connects to a random one, and to the next one when the connection fails or is lost.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { eventually, startTcpProxy, type TcpProxy } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment, type RabbitmqConfig, rabbitmqEnvironment } from '../src/config.ts'
import { command } from '../src/contract.ts'
import { deadLetterDesk } from '../src/dead-letters/desk.ts'
import type { Connect } from '../src/service.ts'
import { quietService } from '../src/testing.ts'
import { connectPeer, QUEUE } from './dead-letters.ts'
import { onLoopback, rabbitmqOfFile } from './rabbitmq.ts'

const numbers = command('numbers', { body: z.object({ n: z.number() }), result: z.string() })
/** No server listens on these ports. */
const DEAD = [onLoopback(1), onLoopback(2)]

const underTest = rabbitmqOfFile('several_brokers')

describe('messaging with several brokers', () => {
  let proxies: [TcpProxy, TcpProxy]
  let config: RabbitmqConfig

  beforeEach(async () => {
    proxies = [await startTcpProxy(underTest.server), await startTcpProxy(underTest.server)]
    // A test may close a proxy and replace it.
    underTest.own({ close: () => Promise.allSettled(proxies.map((proxy) => proxy.close())) })
    config = { ...underTest.config, servers: proxies.map(({ port }) => onLoopback(port)), reconnectMaxMs: 500 }
  })

  const start = async (changes: Partial<RabbitmqConfig> = {}, log = quietService.log): Promise<Broker> =>
    underTest.own(await openBroker({ ...config, ...changes }, { ...quietService, log }, { publishes: [numbers] }))

  it('spreads the connections of several clients over the servers', async () => {
    // The probability that all 20 choose the same server is 1 in 500,000.
    for (let each = 0; each < 20; each += 1) await start()
    expect(Math.min(...proxies.map(({ open }) => open))).toBeGreaterThan(0)
  })

  it('connects to the only server that responds, whichever it tries first, and logs its address', async () => {
    const logged: string[] = []
    const log = { ...quietService.log, info: (_: object, message: string) => logged.push(message) }
    const alive = proxies[1].port
    for (let each = 0; each < 8; each += 1) {
      const broker = await start({ servers: [...DEAD, onLoopback(alive)] }, log)
      expect((await broker.publisher.publish(numbers, { n: each })).messageId).toBeTruthy()
    }
    expect(logged.filter((line) => line.endsWith(`publishing: connected to 127.0.0.1:${alive}`))).toHaveLength(8)
  })

  it('moves to the other server when its server goes down, and continues to publish and consume', async () => {
    const broker = await start()
    const seen: number[] = []
    await broker.consume(
      numbers,
      async (deliveries) => {
        seen.push(...deliveries.map(({ body }) => body.n))
        return deliveries.map(() => ({ kind: 'applied', result: 'done', repeated: false }))
      },
      consumerEnvironment.parse({}),
    )
    for (const direction of ['forward', 'back']) {
      const [from, to] = direction === 'forward' ? proxies : [proxies[1], proxies[0]]
      await from.close()
      await eventually(() => expect(to.open).toBe(3))
      await eventually(async () => {
        await broker.publisher.publish(numbers, { n: to.port })
      })
      await eventually(() => expect(seen).toContain(to.port))
      proxies[proxies.indexOf(from)] = await startTcpProxy(underTest.server, from.port)
    }
  })

  it('logs each unreachable server only once, and keeps trying', async () => {
    let attempts = 0
    const logged: string[] = []
    const stop = new AbortController()
    const log = {
      ...quietService.log,
      warn: (_: object, message: string) => void (message.includes('publishing') && logged.push(message)),
    }
    const counted: Connect = (...to) => {
      attempts += 1
      return connect(...to)
    }
    const service = { ...quietService, log, stopping: stop.signal, connect: counted }
    const opening = openBroker({ ...config, servers: DEAD }, service)
    const ended = expect(opening).rejects.toThrow('stopped')
    await eventually(() => expect(attempts).toBeGreaterThan(12))
    stop.abort()
    await ended
    const tried = logged.map((line) => /127\.0\.0\.1:\d+/.exec(line)?.[0])
    expect(tried.toSorted()).toEqual(['127.0.0.1:1', '127.0.0.1:2'])
  })

  it('reads dead letters through any server that responds, and names a server in the error if none does', async () => {
    const peer = await connectPeer(underTest.url)
    await peer.empty()
    await peer.deadLetter(1)
    const browse = (servers: RabbitmqConfig['servers']) =>
      deadLetterDesk({ ...config, servers }, quietService).browse(QUEUE, () => true, { bodyMaxBytes: 100 })
    for (let each = 0; each < 6; each += 1)
      expect(await browse([...DEAD, onLoopback(proxies[0].port)])).toEqual({ total: 1, seen: 1 })
    await expect(browse(DEAD)).rejects.toThrow(/no connection to the broker: 127\.0\.0\.1:[12]: /)
    await peer.close()
  })
})

it('names an invalid entry of RABBITMQ_HOST, and a repeated server', () => {
  const problems = (RABBITMQ_HOST: string) =>
    rabbitmqEnvironment.safeParse({ RABBITMQ_HOST }).error?.issues.map(({ path, message }) => `${path}: ${message}`)
  expect(problems('a,,b:70000')).toEqual([
    'RABBITMQ_HOST: entry 2 of 3 must not be empty',
    'RABBITMQ_HOST: entry 3 of 3 must have a port from 1 to 65535',
  ])
  expect(problems('a,b,a:5672')).toEqual(['RABBITMQ_HOST: entry 3 of 3 must not repeat a:5672'])
})
