// The HTTP server: listening, shutdown and timeouts.
import { Agent, get, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { PortTaken } from '@ims/runtime'
import { describe, expect, it } from '@jest/globals'
import { httpEnvironment } from '../src/config.ts'
import { listen } from '../src/http/server.ts'
import { appUnderTest } from './app-under-test.ts'
import { pagesInTurn } from './consumer-four.ts'
import { start } from './on-sockets.ts'
import { until } from './until.ts'
import { exchange } from './wire.ts'

/** Sends a GET. Resolves with the status or the error, and whether the connection closes. */
const requestThrough = (agent: Agent, port: number): Promise<{ outcome: string; closes: boolean }> =>
  new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/healthcheck', agent }, (response) => {
      const closes = response.headers.connection === 'close'
      response.resume().on('end', () => resolve({ outcome: String(response.statusCode), closes }))
    }).on('error', ({ message }) => resolve({ outcome: message, closes: true }))
  })
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('listening', () => {
  it('rejects a port in use, and names the port and the variable to change', async () => {
    const { server, app, service } = await start()
    const config = httpEnvironment.parse({ PORT: String(server.port) })
    const second = listen(app, config, service)
    await expect(second).rejects.toBeInstanceOf(PortTaken)
    await expect(second).rejects.toThrow(new RegExp(`^port ${server.port} is taken by .*set PORT to a free port`))
    await server.close()
  })

  it('rejects an address that does not belong to this machine', async () => {
    const { app, service } = appUnderTest()
    const config = httpEnvironment.parse({ PORT: '0', HTTP_HOST: '192.0.2.1' })
    await expect(listen(app, config, service)).rejects.toThrow(/^cannot listen on 192\.0\.2\.1 port 0/)
  })
})

describe('a server that shuts down', () => {
  it('does not wait for idle connections', async () => {
    const { server, url } = await start()
    const agent = new Agent({ keepAlive: true })
    await new Promise((resolve) =>
      get(url('/healthcheck'), { agent }, (response) => response.resume().on('end', resolve)),
    )
    const since = performance.now()
    await server.close()
    expect(performance.now() - since).toBeLessThan(10_000) // far below the time that an idle connection is kept
    agent.destroy()
  })

  it('waits until a request in flight has its response', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let isAsked = false
    const before = () => {
      isAsked = true
      return held
    }
    const { server, url } = await start({ broker: { requester: pagesInTurn(['[]'], before) } })
    const response = fetch(url('/order_processing'))
    await until(() => isAsked)
    let closed = false
    const closing = server.close().then(() => {
      closed = true
    })
    await pause(150)
    expect(closed).toBe(false)
    release()
    expect(await (await response).text()).toBe('[]')
    await closing
  })

  it('fails no request of clients that reuse their connections', async () => {
    const stop = new AbortController()
    const { server, port } = await start({ stopping: stop.signal }).then((each) => ({
      ...each,
      port: each.server.port,
    }))
    const agent = new Agent({ keepAlive: true, maxSockets: 16 })
    const outcomes: string[] = []
    // A client continues until a response closes its connection. Its next connection would go to another replica.
    let connected = 0
    const client = async () => {
      for (let round = 1, isOpen = true; isOpen; round += 1) {
        const { outcome, closes } = await requestThrough(agent, port)
        outcomes.push(outcome)
        isOpen = !closes
        if (round === 2) connected += 1
      }
    }
    const clients = Promise.all(Array.from({ length: 16 }, client))
    // Waits for all connections, because the server accepts no new ones after this.
    await until(() => connected === 16)
    stop.abort()
    await server.close()
    await clients
    agent.destroy()
    expect(outcomes.length).toBeGreaterThanOrEqual(16)
    expect(new Set(outcomes)).toEqual(new Set(['200']))
  })

  it.each([
    ['its headers', 'POST /create_item HTTP/1.1\r\nHost: a\r\n'],
    [
      'its body',
      'POST /create_item HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    ],
  ])(
    'does not wait long for a client that stopped in the middle of %s, and tells it so',
    async (_, half) => {
      const { server, port } = await start()
      const answer = exchange(port, [half])
      await pause(100)
      const since = performance.now()
      await server.close()
      expect(performance.now() - since).toBeLessThan(9_000) // far below SHUTDOWN_TIMEOUT_MS, and HTTP_HEADERS_TIMEOUT_MS
      expect(await answer).toMatch(/^HTTP\/1\.1 408 /)
    },
    40_000,
  )

  it('does not wait long for a client that stopped reading its response', async () => {
    const log = appUnderTest().service
    const app = (_: unknown, response: ServerResponse) => void response.end(Buffer.alloc(50_000_000))
    const server = await listen(app, httpEnvironment.parse({ PORT: '0' }), log)
    const client = connect(server.port, '127.0.0.1')
      .on('error', () => {})
      .pause()
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await pause(300)
    const since = performance.now()
    await server.close()
    expect(performance.now() - since).toBeLessThan(9_000) // far below SHUTDOWN_TIMEOUT_MS, and HTTP_STALL_TIMEOUT_MS
    client.destroy()
  }, 90_000)

  it('accepts no new connection', async () => {
    const { server, url } = await start()
    await server.close()
    await expect(fetch(url('/healthcheck'))).rejects.toThrow()
  })

  it('asks clients to close the connection once shutdown has begun', async () => {
    const stop = new AbortController()
    const { server, port } = await start({ stopping: stop.signal }).then((each) => ({
      ...each,
      port: each.server.port,
    }))
    const before = await fetch(`http://127.0.0.1:${port}/healthcheck`)
    expect(before.headers.get('connection')).not.toBe('close')
    await before.text()
    stop.abort()
    const after = await fetch(`http://127.0.0.1:${port}/healthcheck`)
    expect(after.status).toBe(200)
    expect(after.headers.get('connection')).toBe('close')
    await after.text()
    await server.close()
  })
})

describe('a slow client', () => {
  it('gets 408 when its headers take too long', async () => {
    const { server } = await start({ environment: { HTTP_HEADERS_TIMEOUT_MS: '50' } })
    expect(await exchange(server.port, ['GET /healthcheck HTTP/1.1\r\nHost:'])).toMatch(/^HTTP\/1\.1 408 /)
    await server.close()
  })

  it('is disconnected when its body takes too long', async () => {
    const { server, sent } = await start({ environment: { HTTP_REQUEST_TIMEOUT_MS: '50' } })
    const head = 'POST /create_item HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{'
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => {}).resume()
    socket.write(head)
    await new Promise((resolve) => socket.on('close', resolve))
    expect(sent('create_item')).toEqual([])
    await server.close()
  })
})
