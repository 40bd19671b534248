// Bodies on the wire: chunked, announced by Expect: 100-continue, too large, and incomplete.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type Listening, listen } from '../src/http/server.ts'
import { apple, appUnderTest } from './app-under-test.ts'
import { until } from './until.ts'
import { exchange } from './wire.ts'

const json = JSON.stringify(apple)
const head = (...headers: string[]) =>
  [
    'POST /create_item HTTP/1.1',
    'Host: a',
    'Connection: close',
    'Content-Type: application/json',
    ...headers,
    '',
    '',
  ].join('\r\n')

describe('a body on the wire', () => {
  let under: ReturnType<typeof appUnderTest>
  let server: Listening
  beforeEach(async () => {
    under = appUnderTest({ environment: { PORT: '0' } })
    server = await listen(under.app, under.config, under.service)
  })
  afterEach(async () => await server.close())

  it('may come in chunks', async () => {
    const chunks = [json.slice(0, 10), json.slice(10)].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
    const received = await exchange(server.port, [head('Transfer-Encoding: chunked'), ...chunks, '0\r\n\r\n'])
    expect(received).toMatch(/^HTTP\/1\.1 200 /)
    expect(under.sent('create_item')).toEqual([apple])
  })

  it('may be announced with Expect: 100-continue', async () => {
    const announced = head(`Content-Length: ${json.length}`, 'Expect: 100-continue')
    const received = await exchange(server.port, [announced, json])
    expect(received).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
    expect(under.sent('create_item')).toEqual([apple])
  })

  it('is rejected when its chunks exceed the limit', async () => {
    const chunk = `fa00\r\n${'x'.repeat(64_000)}\r\n`
    const received = await exchange(server.port, [head('Transfer-Encoding: chunked'), chunk, chunk, '0\r\n\r\n'])
    expect(received).toMatch(/^HTTP\/1\.1 413 /)
    expect(under.sent('create_item')).toEqual([])
  })

  it('is dropped when the client disconnects before its end, and no message is sent', async () => {
    const socket = connect(server.port, '127.0.0.1')
    socket.write(head(`Content-Length: ${json.length}`, 'Expect: 100-continue'))
    // 100 Continue shows that the server has read the headers.
    await once(socket, 'data')
    await new Promise((resolve) => socket.write(json.slice(0, 20), resolve))
    socket.destroy()
    await until(() => under.lines.some(({ message }) => message === 'request'))
    expect(under.sent('create_item')).toEqual([])
    expect(under.lines.filter(({ level }) => level === 'error')).toEqual([])
    const requests = under.lines.filter(({ message }) => message === 'request')
    expect(requests).toEqual([
      expect.objectContaining({ fields: expect.objectContaining({ status: 499, cutOff: true }) }),
    ])
  })
})
