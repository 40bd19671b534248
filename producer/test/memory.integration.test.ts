// Hostile clients cannot make the producer exceed its memory. Each case has its own process, and one honest client.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'

const LIMIT_BYTES = 256_000_000
const HONEST_WITHIN_MS = 30_000

const children: ChildProcess[] = []
const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

const portOf = z.object({ port: z.int() })
const stateOf = z.object({ maxBytes: z.number(), waits: z.int() })

async function start(keys: 'keys' | 'open') {
  const child = fork(`${import.meta.dirname}/fixtures/edge-process.ts`, [keys], {
    execArgv: ['--max-old-space-size=192'],
  })
  children.push(child)
  const { port } = portOf.parse((await once(child, 'message'))[0])
  const state = async () => {
    child.send('state')
    return stateOf.parse((await once(child, 'message'))[0])
  }
  return { port, state }
}

/** Opens `count` connections, each from one of 40 addresses, and sends `bytes` on each. Resolves when all are sent or refused. */
async function attack(port: number, count: number, bytes: string): Promise<void> {
  for (let from = 0; from < count; from += 250) {
    const some = Array.from({ length: Math.min(250, count - from) }, (_, n) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + (n % 40)}` })
      socket.on('error', () => {})
      socket.pause()
      sockets.push(socket)
      return new Promise((resolve) => {
        socket.on('connect', () => socket.write(bytes, resolve))
        socket.on('close', resolve)
        setTimeout(resolve, 2_000)
      })
    })
    await Promise.all(some)
  }
}

/** The status of a request of the honest client, which has its own address. */
const honest = (port: number): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const headers = { 'X-API-Key': 'the key' }
    const asked = get({ port, host: '127.0.0.1', path: '/healthcheck', headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    asked.setTimeout(HONEST_WITHIN_MS, () => asked.destroy(new Error('no response in time')))
    asked.on('error', reject)
  })

async function mustSurvive({ port, state }: Awaited<ReturnType<typeof start>>): Promise<void> {
  expect([200, 503]).toContain(await honest(port))
  expect((await state()).maxBytes).toBeLessThan(LIMIT_BYTES)
}

const HOST = 'Host: 127.0.0.1\r\n'
const body = JSON.stringify({ sku: 'a', name: 'n', label: 'l', price: 1, quantity: 1 })
const WAIT = `POST /create_item HTTP/1.1\r\n${HOST}Prefer: wait=30\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`

describe('the producer stays below 256 MB and responds to an honest client', () => {
  it.each([
    ['half a header', `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(16_000)}`],
    ['half of many headers', `GET / HTTP/1.1\r\n${HOST}${'abcdefgh: y\r\n'.repeat(1_200)}`],
    ['half a path', `GET /${'x'.repeat(16_000)}`],
  ])('with %s on each of 5,000 connections, all without an API key', async (_, bytes) => {
    const process = await start('keys')
    await attack(process.port, 5_000, bytes)
    await mustSurvive(process)
  })

  it.each(['keys', 'open'] as const)('with half a body on each of 4,000 connections (%s)', async (keys) => {
    const process = await start(keys)
    const head = `POST /create_item HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n`
    await attack(process.port, 4_000, head + ' '.repeat(99_000))
    await mustSurvive(process)
  })

  it('with 1,500 pipelined requests on each of 1,000 connections', async () => {
    const process = await start('open')
    await attack(process.port, 1_000, `GET /healthcheck HTTP/1.1\r\n${HOST}\r\n`.repeat(1_500))
    await mustSurvive(process)
  })

  it('with 8 pipelined waits on each of 10,000 connections, and drops the waits when the clients disconnect', async () => {
    const process = await start('open')
    await attack(process.port, 10_000, WAIT.repeat(8))
    await mustSurvive(process)
    expect((await process.state()).waits).toBeGreaterThan(100)
    for (const socket of sockets.splice(0)) socket.destroy()
    // Shorter than the timeout of a wait, so the timeout cannot end all waits.
    const endsAt = performance.now() + 25_000
    while ((await process.state()).waits > 0 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, 100))
    expect((await process.state()).waits).toBe(0)
  })

  it('with 20,000 lists whose clients disconnect, and drops their queries', async () => {
    const process = await start('open')
    for (let round = 0; round < 20; round += 1) {
      await attack(process.port, 1_000, `GET /order_processing?limit=1&label=${round} HTTP/1.1\r\n${HOST}\r\n`)
      for (const socket of sockets.splice(0)) socket.destroy()
    }
    await mustSurvive(process)
    // Shorter than the timeout of a wait, so the timeout cannot end all waits.
    const endsAt = performance.now() + 25_000
    while ((await process.state()).waits > 0 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, 100))
    expect((await process.state()).waits).toBe(0)
  })
})
