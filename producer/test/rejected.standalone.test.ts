// Hostile clients on real sockets: malformed, oversized and slow requests, and too many connections.
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { apple } from './app-under-test.ts'
import { pagesInTurn } from './consumer-four.ts'
import { sockets, start } from './on-sockets.ts'
import { until } from './until.ts'
import { exchange } from './wire.ts'

/** Parses the received responses: the status, the headers with their names in lower case, and the body. */
function responsesIn(received: string) {
  return received.split(/(?=HTTP\/1\.1 \d)/).map((response) => {
    const [head = '', body = ''] = response.split('\r\n\r\n')
    const [statusLine = '', ...lines] = head.split('\r\n')
    const headers = Object.fromEntries(
      lines.map((line) => [line.split(':')[0]?.toLowerCase(), line.replace(/^.*?: /, '')]),
    )
    return { status: Number(statusLine.split(' ')[1]), headers, body }
  })
}

const json = JSON.stringify(apple)
const GET = 'GET /healthcheck HTTP/1.1\r\nHost: a\r\n'
const POST = 'POST /create_item HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n'
const FAST = { HTTP_HEADERS_TIMEOUT_MS: '300', HTTP_REQUEST_TIMEOUT_MS: '600' }

describe('a request with a fragment in its target', () => {
  it.each([
    ['GET /dead_letters#', 'read'],
    ['POST /create_item#x', 'read'],
    ['POST /stock_management#?x', 'read'],
    ['GET /order_processing#', 'write'],
    ['GET /messages\\m#', 'write'],
  ])('gets 400 whatever the scope of its key, and sends no message: %s', async (line, scope) => {
    const sha256 = createHash('sha256').update('the key').digest('hex')
    const { port, sent } = await start({ environment: { API_KEYS: `shop ${scope} ${sha256}` } })
    const request = `${line} HTTP/1.1\r\nHost: a\r\nX-API-Key: the key\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`
    const [response] = responsesIn(await exchange(port, [request]))
    expect(response?.status).toBe(400)
    for (const queue of ['create_item', 'stock_management', 'order_processing', 'message_status'])
      expect(sent(queue)).toEqual([])
  })
})

describe('a request that the parser rejects', () => {
  it.each([
    ['not HTTP', 'hello\r\n\r\n', 400, 'malformed'],
    ['TLS on the plain port', '\x16\x03\x01\x02\x00\x01', 400, 'malformed'],
    ['an unknown method', 'BREW /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed'],
    ['no Host', 'GET /healthcheck HTTP/1.1\r\n\r\n', 400, undefined],
    ['a line end in a header', `${GET}X: a\rb\r\n\r\n`, 400, 'malformed'],
    ['two lengths', `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`, 400, 'malformed'],
    ['a length and chunks', `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`, 400, 'malformed'],
    ['a header of 20 kB', `${GET}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
    ['many headers', `${GET}${'X: abcdefghij\r\n'.repeat(2_000)}\r\n`, 431, 'headers-too-large'],
    ['a path of 20 kB', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431, 'headers-too-large'],
  ])('gets an error response, and its connection is closed: %s', async (_, request, status, kind) => {
    const { port, sent } = await start()
    const [response, ...more] = responsesIn(await exchange(port, [request]))
    expect({ status: response?.status, more }).toEqual({ status, more: [] })
    expect(response?.headers.connection).toBe('close')
    expect([...sent('healthcheck'), ...sent('create_item')]).toEqual([])
    if (kind === undefined) return
    expect(response?.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'x-request-id': expect.any(String),
    })
    expect(JSON.parse(response?.body ?? '')).toMatchObject({ type: `urn:ims:problem:${kind}`, status })
  })

  it('is logged with the request id of its response', async () => {
    const { port, lines } = await start()
    const [response] = responsesIn(await exchange(port, ['hello\r\n\r\n']))
    const requestId = response?.headers['x-request-id']
    expect(lines.filter(({ message }) => message === 'request').map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ requestId, status: 400 }),
    ])
  })

  it('gets 431 above HTTP_HEADERS_MOST_BYTES', async () => {
    const { port } = await start({ environment: { HTTP_HEADERS_MOST_BYTES: '1024' } })
    const ask = async (length: number) => {
      const responses = responsesIn(
        await exchange(port, [`${GET}Connection: close\r\nX: ${'x'.repeat(length)}\r\n\r\n`]),
      )
      return responses.map(({ status }) => status)
    }
    expect(await ask(500)).toEqual([200])
    expect(await ask(1_500)).toEqual([431])
  })

  it('gets its response after the response to the previous request', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { port } = await start({ broker: { requester: pagesInTurn(['[]'], () => held) } })
    setTimeout(release, 200)
    const received = await exchange(port, ['GET /order_processing HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n'])
    const responses = responsesIn(received)
    expect(responses.map(({ status }) => status)).toEqual([200, 400])
    expect(responses[0]?.body).toBe('[]')
  })

  it('gets 400 for an invalid chunk in the middle of its body, and sends no message', async () => {
    const { port, sent } = await start()
    const chunk = `${json.slice(0, 10).length.toString(16)}\r\n${json.slice(0, 10)}\r\n`
    const responses = responsesIn(await exchange(port, [`${POST}Transfer-Encoding: chunked\r\n\r\n`, chunk, 'zz\r\n']))
    expect(responses.map(({ status, body }) => [status, JSON.parse(body).title])).toEqual([
      [400, 'The request is malformed'],
    ])
    expect(sent('create_item')).toEqual([])
  })
})

describe('a slow client', () => {
  /** Sends `first`, then `bytes` every 50 ms. Resolves with the responses when the connection closes. */
  async function drip(port: number, first: string, bytes: string) {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    let received = ''
    socket.on('data', (chunk: Buffer) => {
      received += chunk
    })
    socket.on('error', () => {})
    socket.write(first)
    // Writes only after received data was read, because a write to a closed connection could lose the response.
    const write = () => setImmediate(() => received === '' && !socket.destroyed && socket.write(bytes))
    const timer = setInterval(write, 50)
    await new Promise((resolve) => socket.on('close', resolve))
    clearInterval(timer)
    return responsesIn(received)
  }

  it('that never ends its headers (slow loris) gets 408, even if it sends steadily', async () => {
    const { port } = await start({ environment: FAST })
    const responses = await drip(port, GET, 'X: a\r\n')
    expect(responses.map(({ status, body }) => [status, JSON.parse(body).type])).toEqual([
      [408, 'urn:ims:problem:too-slow'],
    ])
  })

  it('that sends its body byte by byte gets 408, and no message is sent', async () => {
    const { port, sent, lines } = await start({ environment: FAST })
    const responses = await drip(port, `${POST}Content-Length: 90000\r\n\r\n{`, ' ')
    expect(responses.map(({ status, body }) => [status, JSON.parse(body).type])).toEqual([
      [408, 'urn:ims:problem:too-slow'],
    ])
    expect(sent('create_item')).toEqual([])
    await until(() => lines.some(({ message }) => message === 'request'))
    const requests = lines.filter(({ message }) => message === 'request').map(({ fields }) => fields)
    expect(requests).toEqual([expect.objectContaining({ status: 408, route: '/create_item' })])
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  it('does not block other clients, even when there are 200 slow ones', async () => {
    // These timeouts are long enough for the other clients on a busy machine.
    const { port } = await start({
      environment: { ...FAST, HTTP_HEADERS_TIMEOUT_MS: '5000', HTTP_REQUEST_TIMEOUT_MS: '6000' },
    })
    const slow = Array.from({ length: 200 }, () => drip(port, GET, 'X: a\r\n'))
    for (let turn = 0; turn < 20; turn += 1)
      expect((await fetch(`http://127.0.0.1:${port}/healthcheck`)).status).toBe(200)
    const ended = await Promise.all(slow)
    expect(new Set(ended.map(([response]) => response?.status))).toEqual(new Set([408]))
  })
})

describe('connections', () => {
  it('above HTTP_CONNECTIONS_MOST are refused, with one line in the log, until others are closed', async () => {
    const { port, lines } = await start({ environment: { HTTP_CONNECTIONS_MOST: '2' } })
    const open = () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, '127.0.0.1')
        sockets.push(socket)
        socket.on('error', () => {})
        socket.on('close', () => resolve(false))
        socket.on('data', () => resolve(true))
        socket.write(`${GET}\r\n`)
      })
    expect([await open(), await open(), await open(), await open()]).toEqual([true, true, false, false])
    expect(lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'connections are refused: HTTP_CONNECTIONS_MOST are open',
    ])
    sockets[0]?.destroy()
    // The server notices the disconnect a little later.
    await eventually(async () => expect(await open()).toBe(true))
  })
})
