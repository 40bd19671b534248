// Edge cases of the API on real sockets: pipelines, clients that stall or disconnect, and invalid requests.
import { connect } from 'node:net'
import type { Broker } from '@ims/messaging'
import { servedHosts } from '@ims/runtime'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { listen } from '../src/http/server.ts'
import { createApp } from '../src/producer.ts'
import { adminEnvironment, apple, appUnderTest } from './app-under-test.ts'
import { pagesInTurn } from './consumer-four.ts'
import { servers, sockets, start } from './on-sockets.ts'
import { until } from './until.ts'
import { exchange } from './wire.ts'

/** A socket that records the received data. */
function client(port: number) {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString()
  })
  socket.on('error', () => {})
  const statuses = () => [...received.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
  return { socket, statuses, received: () => received }
}

const GET = 'GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n'
const body = JSON.stringify(apple)
const POST = `POST /create_item HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`

/** A publisher that confirms only on `confirm()`, and counts unconfirmed messages. */
function slowPublisher() {
  const waiting: (() => void)[] = []
  let max = 0
  const publisher: Broker['publisher'] = {
    publish: () =>
      new Promise((resolve) => {
        waiting.push(() => resolve({ messageId: 'm' }))
        max = Math.max(max, waiting.length)
      }),
  }
  const confirm = () => {
    for (const each of waiting.splice(0)) each()
  }
  return { publisher, confirm, waiting: () => waiting.length, max: () => max }
}

describe('a pipeline', () => {
  it.each([
    ['GET', GET],
    ['POST', POST],
  ])('of 3,000 %s requests has one in flight at a time, and gets 3,000 responses', async (_, bytes) => {
    const slow = slowPublisher()
    const { port } = await start({ broker: { publisher: slow.publisher } })
    let isConfirming = true
    const confirmOn = () => {
      slow.confirm()
      if (isConfirming) setImmediate(confirmOn)
    }
    confirmOn()
    const { socket, statuses } = client(port)
    socket.write(bytes.repeat(3_000))
    const endsAt = performance.now() + 60_000
    while (statuses().length < 3_000 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, 50))
    isConfirming = false
    expect(statuses()).toEqual(Array(3_000).fill(200))
    expect(slow.max()).toBe(1)
  })

  it('does not delay other clients', async () => {
    const slow = slowPublisher()
    const { port } = await start({ broker: { publisher: slow.publisher } })
    for (let n = 0; n < 20; n += 1) client(port).socket.write(GET.repeat(1_500))
    await until(() => slow.waiting() === 20)
    const honest = client(port)
    honest.socket.write(GET)
    await until(() => slow.waiting() === 21)
    slow.confirm()
    await until(() => honest.statuses().length === 1)
    expect(honest.statuses()).toEqual([200])
  })

  it('of 1,000 fast requests lets timers run in between', async () => {
    const { port } = await start()
    const greedy = client(port)
    let turns = 0
    const turning = setInterval(() => {
      turns += 1
    }, 0)
    greedy.socket.write('GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_000))
    const endsAt = performance.now() + 30_000
    while (greedy.statuses().length < 1_000 && performance.now() < endsAt)
      await new Promise((resolve) => setTimeout(resolve, 10))
    clearInterval(turning)
    expect(greedy.statuses()).toHaveLength(1_000)
    expect(turns).toBeGreaterThan(50)
  })

  it('is dropped when its client disconnects while a request is in flight', async () => {
    const slow = slowPublisher()
    const { port } = await start({ broker: { publisher: slow.publisher } })
    const { socket } = client(port)
    socket.write(GET.repeat(100))
    await until(() => slow.waiting() === 1)
    socket.destroy()
    await new Promise((resolve) => setTimeout(resolve, 100))
    // Timers run before sockets are read, so the server needs one more turn of its event loop to see the disconnect.
    await new Promise((resolve) => setImmediate(resolve))
    slow.confirm()
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(slow.waiting()).toBe(0)
  })

  it.each([1, 2, 3, 7, 50, 1_000])('gets 200 for each request when it arrives in packets of %i bytes', async (size) => {
    const { port, sent } = await start()
    const { socket, statuses } = client(port)
    const bytes = POST + GET + POST + POST + GET + GET
    for (let at = 0; at < bytes.length; at += size) socket.write(bytes.slice(at, at + size))
    await until(() => statuses().length === 6)
    expect(statuses()).toEqual(Array(6).fill(200))
    expect([sent('create_item').length, sent('healthcheck').length]).toEqual([3, 3])
  })
})

describe('a client that disconnects', () => {
  it('aborts its requests to the consumers', async () => {
    const signals: (AbortSignal | undefined)[] = []
    const never = new Promise<never>(() => {})
    const requester: Broker['requester'] = {
      request: (_query, _body, { signal }) => {
        signals.push(signal)
        return never
      },
      command: (_command, _body, { signal }) => {
        signals.push(signal)
        return never
      },
    }
    const { port } = await start({ broker: { requester } })
    const one = client(port)
    const two = client(port)
    one.socket.write(POST.replace('Content-Type', 'Prefer: wait=30\r\nContent-Type'))
    two.socket.write('GET /order_processing HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => signals.length === 2)
    expect(signals.map((signal) => signal?.aborted)).toEqual([false, false])
    one.socket.destroy()
    two.socket.destroy()
    await until(() => signals.every((signal) => signal?.aborted))
  })

  it('does not abort a list that another client also requested', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { port } = await start({ broker: { requester: pagesInTurn(['[]', '[]'], () => held) } })
    const ask = 'GET /order_processing?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n'
    const [first, leaves, stays] = [client(port), client(port), client(port)]
    first.socket.write(ask)
    await new Promise((resolve) => setTimeout(resolve, 50))
    leaves.socket.write(ask)
    stays.socket.write(ask)
    await new Promise((resolve) => setTimeout(resolve, 100))
    leaves.socket.destroy()
    await new Promise((resolve) => setTimeout(resolve, 50))
    release()
    await until(() => stays.statuses().length === 1)
    expect(stays.statuses()).toEqual([200])
  })
})

describe('Prefer: wait', () => {
  it('is limited per client, and commands beyond the limit are accepted with wait=0', async () => {
    const under = appUnderTest()
    const limits = { requestsMax: 100, requestsMaxEach: 100, waitsMax: 4, waitsMaxEach: 2, pagesMaxBytes: 1_000_000 }
    const config = { ...under.config, port: 0 }
    const waited: number[] = []
    const requester: Broker['requester'] = {
      request: () => Promise.reject(new Error('unexpected request')),
      command: async (_command, _body, { deadlineMs }) => {
        waited.push(deadlineMs)
        // The waits last until all four commands have arrived.
        if (deadlineMs > 0) await until(() => waited.length === 4)
        return { messageId: 'm', reply: { kind: 'no-reply' } }
      },
    }
    const broker = { publisher: under.rabbitmq.open().publisher, requester }
    const all = { ...limits, connectionsMax: 100, connectionsMaxEach: 100, heldMaxBytes: 1_000_000 }
    const app = createApp({ broker, config, service: under.service, limits: all })
    const server = await listen(app, config, under.service, all)
    servers.push(server)
    const post = () =>
      fetch(`http://127.0.0.1:${server.port}/create_item`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Prefer: 'wait=5' },
        body,
      })
    const responses = await Promise.all([post(), post(), post(), post()])
    expect(responses.map(({ status }) => status)).toEqual([202, 202, 202, 202])
    expect(waited.sort()).toEqual([0, 0, 5_000, 5_000])
    const preferences = responses.map(({ headers }) => headers.get('preference-applied'))
    expect(preferences.sort()).toEqual(['wait=0', 'wait=0', 'wait=5', 'wait=5'])
  })
})

describe('a client that does not read', () => {
  const page = JSON.stringify([{ sku: 's', name: 'n'.repeat(8_000_000), label: 'l', price: 1, quantity: 1 }])

  it('is disconnected, even during a single page, and the log has no warning or error', async () => {
    const { port, lines } = await start({
      broker: { requester: pagesInTurn([page, '[]']) },
      environment: { HTTP_STALL_TIMEOUT_MS: '300' },
    })
    const { socket } = client(port)
    socket.pause()
    socket.write('GET /order_processing?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => lines.some(({ message }) => message === 'request'))
    expect(lines.find(({ message }) => message === 'request')?.fields).toMatchObject({ cutOff: true })
    expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
  })

  it('is not disconnected while it reads a little from time to time', async () => {
    const { port } = await start({
      broker: { requester: pagesInTurn([page, '[]']) },
      environment: { HTTP_STALL_TIMEOUT_MS: '1000' },
    })
    const { socket, received } = client(port)
    const reading = setInterval(() => {
      socket.resume()
      setTimeout(() => socket.pause(), 1)
    }, 100)
    socket.write('GET /order_processing?limit=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await new Promise((resolve) => socket.on('close', resolve))
    clearInterval(reading)
    expect(received().length).toBeGreaterThan(8_000_000)
  })
})

describe('a server that shuts down', () => {
  it('completes a page that a slow client is receiving', async () => {
    const page = JSON.stringify([{ sku: 's', name: 'n'.repeat(8_000_000), label: 'l', price: 1, quantity: 1 }])
    let isAsked = false
    const asked = () => {
      isAsked = true
    }
    const { port, server, lines } = await start({ broker: { requester: pagesInTurn([page], asked) } })
    const { socket, received } = client(port)
    socket.pause()
    socket.write('GET /order_processing HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => isAsked)
    const closing = server.close()
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    socket.resume()
    await closing
    await until(() => received().length > 8_000_000)
    expect(received().endsWith(']')).toBe(true)
    expect(lines.filter(({ message }) => message === 'request').map(({ fields }) => fields)).toEqual([
      expect.not.objectContaining({ cutOff: true }),
    ])
  })
})

describe('an invalid request', () => {
  it.each([
    ['a target that is not a URL', 'GET http://[::1/x HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
    ['a target that is not a path', 'GET healthcheck HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
    ['no Host', 'GET /healthcheck HTTP/1.1\r\n\r\n', 400, 'malformed'],
    [
      'an unknown expectation',
      'GET /healthcheck HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n',
      417,
      'expectation-failed',
    ],
    ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'not-implemented'],
    [
      'too many headers',
      `GET /healthcheck HTTP/1.1\r\nHost: a\r\n${'a: b\r\n'.repeat(500)}\r\n`,
      431,
      'headers-too-large',
    ],
    [
      'too many parameters',
      `GET /order_processing?${'a&'.repeat(1_001)}sku=x HTTP/1.1\r\nHost: a\r\n\r\n`,
      400,
      'malformed',
    ],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'malformed'],
    ['an invalid encoding in the path', 'GET /nothing%zz HTTP/1.1\r\nHost: a\r\n\r\n', 404, 'not-found'],
  ])('gets a problem document with a request id, and one line in the log: %s', async (_, bytes, status, kind) => {
    const { port, lines, sent } = await start()
    const connection = client(port)
    connection.socket.write(bytes)
    await until(() => connection.received().includes('\r\n\r\n{'))
    expect(connection.statuses()).toEqual([status])
    expect(connection.received()).toMatch(/\r\nContent-Type: application\/problem\+json\r\n/i)
    expect(connection.received()).toContain(`urn:ims:problem:${kind}`)
    const requestId = /X-Request-Id: (\S+)/i.exec(connection.received())?.[1]
    await until(() => lines.some(({ message }) => message === 'request'))
    expect(lines.filter(({ message }) => message === 'request').map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ requestId, status }),
    ])
    expect([...sent('healthcheck'), ...sent('order_processing')]).toEqual([])
  })

  it.each([
    ['an upgrade header', 'GET /healthcheck HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'],
    ['an absolute URL as its target', 'GET http://a/healthcheck HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['encoded letters in its path', 'GET /%68ealth%63heck HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['no Host in HTTP/1.0', 'GET /healthcheck HTTP/1.0\r\n\r\n'],
  ])('differs from a request with %s, which is valid and gets 200', async (_, bytes) => {
    const { port } = await start()
    const connection = client(port)
    connection.socket.write(bytes)
    await until(() => connection.statuses().length > 0)
    expect(connection.statuses()).toEqual([200])
  })

  it.each([
    ['', 401],
    ['X-API-Key: the key of an admin\r\n', 403],
  ])('with Expect: 100-continue and the headers %j gets %i before the upload', async (header, status) => {
    const { port } = await start({ environment: adminEnvironment })
    const head = `POST /create_item HTTP/1.1\r\nHost: a\r\n${header}Content-Type: application/json\r\nExpect: 100-continue\r\n`
    const received = await exchange(port, [`${head}Content-Length: 5000\r\n\r\n`])
    expect(received).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  it('with Expect: 100-continue and a large Content-Length gets 413 before the upload', async () => {
    const { port } = await start()
    const head = 'POST /create_item HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n'
    const received = await exchange(port, [`${head}Content-Length: 5000000\r\n\r\n`])
    expect(received).toMatch(/^HTTP\/1\.1 413 /)
    expect(received).not.toContain('100 Continue')
  })
})

describe('a request on loopback without API keys', () => {
  async function local(port = '0', variables: Record<string, string> = {}) {
    const under = appUnderTest({ environment: { PORT: port, ...variables } })
    const broker = under.rabbitmq.open()
    const app = createApp({
      broker,
      config: under.config,
      service: under.service,
      servedHosts: under.config.servedHosts,
    })
    const server = await listen(app, under.config, under.service)
    servers.push(server)
    return async (headers: string) => {
      const connection = client(server.port)
      connection.socket.write(`GET /healthcheck HTTP/1.1\r\n${headers}\r\n\r\n`)
      await until(() => connection.statuses().length > 0)
      return connection.statuses()[0]
    }
  }

  it.each([
    ['Host: localhost', 200],
    ['Host: localhost:5000', 200],
    ['Host: LOCALHOST.', 200],
    ['Host: 127.0.0.1:5000', 200],
    ['Host: [::1]:5000', 200],
    ['Host: shop.example', 200],
    ['Host: attacker.example', 403],
    ['Host: attacker.example:5000', 403],
    ['Host: localhost.attacker.example', 403],
    ['Host: 127.0.0.1.attacker.example', 403],
    ['Host: [::2]', 403],
    ['Host: 10.0.0.1', 403],
    ['Host: ', 403],
    ['Host: localhost\r\nOrigin: http://localhost:3000', 200],
    ['Host: localhost\r\nOrigin: http://attacker.example', 403],
    ['Host: localhost\r\nOrigin: null', 403],
    ['Host: localhost\r\nSec-Fetch-Site: cross-site', 403],
    ['Host: localhost\r\nSec-Fetch-Site: same-origin', 200],
    ['Host: localhost\r\nSec-Fetch-Site: none', 200],
  ])('with the headers %j gets %i', async (headers, status) => {
    const ask = await local('0', { HTTP_ALLOWED_HOSTS: 'shop.example' })
    expect(await ask(headers)).toBe(status)
  })

  it('gets 403 for an unknown host name, even without HTTP_ALLOWED_HOSTS', async () => {
    const ask = await local()
    expect([await ask('Host: localhost'), await ask('Host: shop.example')]).toEqual([200, 403])
  })

  it('gets 200 for any host name with API_KEYS=open or HTTP_ALLOWED_HOSTS=*', async () => {
    expect(await (await local('0', { API_KEYS: 'open' }))('Host: shop.example')).toBe(200)
    expect(await (await local('0', { HTTP_ALLOWED_HOSTS: '*' }))('Host: shop.example')).toBe(200)
    expect(servedHosts(['*'])).toBeUndefined()
  })
})

describe('HEAD', () => {
  it.each(['/healthcheck', '/order_processing'])('of %s returns 503 while the broker is down', async (path) => {
    const under = appUnderTest()
    const broker = { ...under.rabbitmq.open(), notReady: () => 'the broker is disconnected' }
    const app = createApp({ broker, config: under.config, service: under.service })
    const server = await listen(app, { ...under.config, port: 0 }, under.service)
    servers.push(server)
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method: 'HEAD' })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
  })

  it('of a list returns 400 for an invalid parameter', async () => {
    const { port } = await start()
    const response = await fetch(`http://127.0.0.1:${port}/order_processing?limit=0`, { method: 'HEAD' })
    expect(response.status).toBe(400)
  })
})

describe('an HTTP/1.0 response', () => {
  it('ends with a reset if the list is incomplete, because a normal close marks the end of a response', async () => {
    const pages = ['[{"sku":"a","name":"n","label":"l","price":1,"quantity":1}]', '[]', '[]']
    const { port } = await start({
      broker: {
        requester: pagesInTurn(pages, async (page) => {
          if (page === 2) throw new Error('lost')
        }),
      },
    })
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.write('GET /order_processing HTTP/1.0\r\n\r\n')
    socket.resume()
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      socket.on('error', resolve)
      socket.on('close', () => resolve(undefined))
    })
    expect(error?.code).toBe('ECONNRESET')
  })
})

describe('the link to the next page', () => {
  it('keeps a question mark in the value of a parameter', async () => {
    const { app } = appUnderTest({
      broker: { requester: pagesInTurn(['[{"sku":"a","name":"n","label":"a?b","price":1,"quantity":1}]', '[]']) },
    })
    const response = await request(app).get('/order_processing?label=a?b&limit=1')
    expect(response.headers.link).toBe('</order_processing?label=a%3Fb&limit=1&after=1>; rel="next"')
  })
})
