// The admin port: frequent requests share one result, connections and requests are limited, and errors are problem documents.
import { get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import { openAdminPort } from '../src/admin.ts'
import { createMeter } from '../src/index.ts'

const closing: (() => Promise<void>)[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(closing.splice(0).map((close) => close()))
})

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

async function start(warnings: readonly string[] = [], answered: Promise<void> = Promise.resolve()) {
  let asked = 0
  const readiness = async () => {
    asked += 1
    await answered
    return { reasons: [], warnings }
  }
  const { close, port } = await openAdminPort({ host: '127.0.0.1', port: 0 }, createMeter('s'), readiness, quiet)
  closing.push(close)
  return { port, asked: () => asked }
}

function client(port: number, bytes = '') {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString()
  })
  socket.on('error', () => {})
  socket.write(bytes)
  const closed = new Promise((resolve) => socket.on('close', resolve))
  return { socket, closed, received: () => received }
}

const status = (port: number, path: string, headers: Record<string, string> = {}): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', path, headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject)
  })

describe('the admin port', () => {
  it('computes /metrics at most once a second, however often it is requested', async () => {
    const { port, asked } = await start()
    const { received, closed } = client(
      port,
      'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200) +
        'GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    )
    const since = performance.now()
    await closed
    expect(received().match(/HTTP\/1\.1 200/g)).toHaveLength(201)
    expect(asked()).toBeLessThanOrEqual(1 + (performance.now() - since) / 1_000)
  })

  it('serves other clients while some pipeline requests and do not read the responses', async () => {
    const { port } = await start()
    for (let n = 0; n < 30; n += 1)
      client(port, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(5_000)).socket.pause()
    expect(await status(port, '/livez')).toBe(200)
  })

  it('accepts 32 connections of one address and 64 in total, and closes an idle one for a third address', async () => {
    const { port } = await start()
    const opened = async (localAddress: string) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress })
      sockets.push(socket)
      socket.on('error', () => {})
      socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
      return await new Promise<string>((resolve) => {
        socket.once('data', (answer) => resolve(answer.toString().slice(0, 12)))
        socket.once('close', () => resolve('closed'))
      })
    }
    const answers = { ours: new Set<string>(), theirs: new Set<string>() }
    for (let n = 0; n < 32; n += 1) answers.ours.add(await opened('127.0.0.1'))
    expect(await opened('127.0.0.1')).toBe('HTTP/1.1 503')
    for (let n = 0; n < 32; n += 1) answers.theirs.add(await opened('127.0.0.2'))
    const idleOneGone = new Promise((resolve) => {
      for (const socket of sockets.slice(0, 32)) socket.once('close', resolve)
    })
    expect(await opened('127.0.0.3')).toBe('HTTP/1.1 200')
    await idleOneGone
    expect(answers).toEqual({ ours: new Set(['HTTP/1.1 200']), theirs: new Set(['HTTP/1.1 200']) })
  })

  it('buffers at most 1 MiB of pipelined requests per address, and rejects the rest', async () => {
    let answer = () => {}
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    const { port } = await start([], answered)
    const ahead = 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_500)
    const behind = `GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n${ahead}`
    const greedy = Array.from({ length: 31 }, () => client(port, behind))
    await new Promise((resolve) => setTimeout(resolve, 1_000)) // the server has read as much as it will read
    answer()
    await Promise.race([...greedy.map(({ closed }) => closed), new Promise((resolve) => setTimeout(resolve, 10_000))])
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const refused = greedy.filter(({ received }) => received().includes('"over-limit"'))
    const fitting = 1_048_576 / behind.length
    expect(refused.length).toBeGreaterThanOrEqual(greedy.length - fitting)
    expect(refused.length).toBeLessThan(greedy.length)
  })

  it('reports warnings in /readyz, and is still ready', async () => {
    const { port } = await start(['API_KEYS_FILE: line 2: …'])
    const response = await fetch(`http://127.0.0.1:${port}/readyz`)
    expect([response.status, await response.json()]).toEqual([
      200,
      { status: 'ready', warnings: ['API_KEYS_FILE: line 2: …'] },
    ])
  })

  it.each([
    [{ Host: 'localhost:9090' }, 200],
    [{ Host: 'attacker.example' }, 403],
    [{ Host: 'localhost', Origin: 'http://attacker.example' }, 403],
    [{ Host: 'localhost', 'Sec-Fetch-Site': 'cross-site' }, 403],
  ])('rejects only requests of foreign web pages on loopback: %j gets %i', async (headers, expected) => {
    const { port } = await start()
    expect(await status(port, '/metrics', headers)).toBe(expected)
  })

  it.each([
    ['GET http://[::1/x HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
    ['GET /livez HTTP/1.1\r\n\r\n', 400],
    ['GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n', 404],
    ['POST /livez HTTP/1.1\r\nHost: localhost\r\n\r\n', 405],
    ['CONNECT a:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', 501],
    ['hello\r\n\r\n', 400],
  ])('responds to %j with a problem document', async (bytes, expected) => {
    const { port } = await start()
    const { socket, received } = client(port, bytes)
    const endsAt = performance.now() + 10_000
    while (!received().includes('urn:ims:problem:') && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, 10))
    socket.destroy()
    expect(received()).toMatch(new RegExp(`^HTTP/1.1 ${expected} `))
    expect(received()).toMatch(/X-Request-Id: .+\r\n/i)
    expect(received()).toContain('application/problem+json')
  })
})
