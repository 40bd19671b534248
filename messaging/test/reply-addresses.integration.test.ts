// Checks of reply addresses on a broker that accepts connections but does not respond.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pauseMs } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from '@jest/globals'
import { rabbitmqEnvironment } from '../src/config.ts'
import { ReplyAddresses } from '../src/outgoing/reply-addresses.ts'
import { clockOf, OwnScope } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'

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

const onNode = (name: string) => {
  const bytes = Buffer.concat([Buffer.from([131, 88, 118, 0, name.length]), Buffer.from(name), Buffer.alloc(12)])
  return `amq.rabbitmq.reply-to.${bytes.toString('base64')}.x`
}

it('ends a check within 10 s', async () => {
  const since = performance.now()
  expect(await addresses.bears(onNode('reply@1'), new OwnScope(clockOf({})))).toBe(false)
  expect(performance.now() - since).toBeLessThan(10_000)
})

it('ends all pending checks with the scope of the caller, and starts no further one', async () => {
  const scope = new OwnScope(clockOf({}))
  const pending = Array.from({ length: 16 }, (_, n) => addresses.bears(onNode(`reply@${n}`), scope))
  await once(silent, 'connection')
  scope.abort()
  expect(await Promise.all(pending)).toEqual(Array(16).fill(false))
  await new Promise((resolve) => setTimeout(resolve, 4_000))
  expect(sockets).toHaveLength(1)
})

it('rejects an address at once while 16 checks are pending', async () => {
  const scope = new OwnScope(clockOf({}))
  const pending = Array.from({ length: 16 }, (_, n) => addresses.bears(onNode(`reply@${n}`), scope))
  expect(await Promise.race([addresses.bears(onNode('reply@16'), scope), pauseMs(1_000)])).toBe(false)
  scope.abort()
  await Promise.all(pending)
})
