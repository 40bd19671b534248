// Checks of reply addresses: on a broker that accepts connections but does not respond, and when no check is needed.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pauseMs } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { z } from 'zod'
import { openBroker } from '../src/broker.ts'
import { consumerEnvironment, rabbitmqEnvironment } from '../src/config.ts'
import { query } from '../src/contract.ts'
import { ReplyAddresses } from '../src/outgoing/reply-addresses.ts'
import { clockOf, OwnScope } from '../src/scope.ts'
import type { Service } from '../src/service.ts'
import { quietService } from '../src/testing.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

const onNode = (name: string) => {
  const bytes = Buffer.concat([Buffer.from([131, 88, 118, 0, name.length]), Buffer.from(name), Buffer.alloc(12)])
  return `amq.rabbitmq.reply-to.${bytes.toString('base64')}.x`
}

const underTest = rabbitmqOfFile('reply-addresses')

describe('ReplyAddresses', () => {
  let silent: Server
  let addresses: ReplyAddresses
  const sockets: Socket[] = []

  beforeEach(async () => {
    silent = createServer((socket) => {
      socket.on('error', () => {})
      sockets.push(socket)
    }).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const address = silent.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const config = rabbitmqEnvironment.parse({ RABBITMQ_PORT: String(address.port) })
    addresses = new ReplyAddresses(config, quietService)
  })
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
    silent.close()
  })

  it('ends a check within 10 s', async () => {
    const since = performance.now()
    expect(await addresses.isSafe(onNode('reply@1'), new OwnScope(clockOf({})))).toBe(false)
    expect(performance.now() - since).toBeLessThan(10_000)
  })

  it('logs once why addresses could not be checked', async () => {
    const warned: [object, string][] = []
    const warn = (...line: [object, string]) => void warned.push(line)
    const config = rabbitmqEnvironment.parse({})
    const failing = async () => {
      throw new Error('the connection limit is reached')
    }
    const service = { ...quietService, connect: failing, log: { ...quietService.log, warn } }
    const checking = new ReplyAddresses(config, service)
    for (const node of ['reply@1', 'reply@2'])
      expect(await checking.isSafe(onNode(node), new OwnScope(clockOf({})))).toBe(false)
    expect(warned).toEqual([
      [{ lines: 1 }, expect.stringMatching(/^could not check a reply address: .*the connection limit is reached$/)],
    ])
  })

  it('checks a node again after a check without a response', async () => {
    const scope = new OwnScope(clockOf({}))
    for (let check = 1; check <= 2; check += 1) {
      expect(await addresses.isSafe(onNode('reply@1'), scope)).toBe(false)
      expect(sockets).toHaveLength(check)
    }
  })

  it('ends all pending checks when the scope of the caller is aborted, and starts no other one', async () => {
    const scope = new OwnScope(clockOf({}))
    const pending = Array.from({ length: 16 }, (_, n) => addresses.isSafe(onNode(`reply@${n}`), scope))
    await once(silent, 'connection')
    scope.abort()
    expect(await Promise.all(pending)).toEqual(Array(16).fill(false))
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    expect(sockets).toHaveLength(1)
  })

  it('rejects an address at once while 16 checks are pending', async () => {
    const scope = new OwnScope(clockOf({}))
    const pending = Array.from({ length: 16 }, (_, n) => addresses.isSafe(onNode(`reply@${n}`), scope))
    expect(await Promise.race([addresses.isSafe(onNode('reply@16'), scope), pauseMs(1_000)])).toBe(false)
    scope.abort()
    await Promise.all(pending)
  })
})

it('reports a node as unknown for 10 s only, because it may join the cluster later', async () => {
  let passedMs = 0
  const clock = { ...clockOf({}), nowMs: () => performance.now() + passedMs }
  const addresses = new ReplyAddresses(underTest.config, { ...quietService, clock })
  const address = onNode('reply@1')
  expect(await addresses.isSafe(address, new OwnScope(clock))).toBe(false)
  expect(addresses.maySendTo(address)).toBe(false)
  passedMs = 10_000
  expect(addresses.maySendTo(address)).toBe(true)
})

it('opens no connection for a reply to the node that the consumer is connected to', async () => {
  const opened: string[] = []
  const service: Service = {
    ...quietService,
    connect: (url, options) => {
      opened.push(options.clientProperties.connection_name)
      return connect(url, options)
    },
  }
  const words = query('words', { body: z.unknown(), reply: z.array(z.string()) })
  const consumer = underTest.own(await openBroker(underTest.config, service))
  const producer = underTest.own(await openBroker(underTest.config, quietService, { publishes: [words] }))
  await consumer.consume(
    words,
    async (deliveries) => deliveries.map(() => ({ kind: 'answered', body: Buffer.from('["yes"]'), headers: {} })),
    consumerEnvironment.parse({}),
  )
  expect((await producer.requester.request(words, [], { deadlineMs: 10_000 })).body()).toEqual(['yes'])
  expect(opened.map((name) => name.split(' ').slice(1).join(' ')).sort()).toEqual([
    'consuming',
    'publishing',
    'replies',
  ])
})
