// The TCP proxy in front of an echo server, with each of its faults.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, startTcpProxy, type TcpProxy } from '../src/index.ts'

/** connection.close with code 320 and a text of 27 bytes. */
const CLOSE = '\x01\0\0\0\0\0\x26\0\x0a\0\x32\x01\x40\x1bCONNECTION_FORCED - drained\0\0\0\0\xce'

describe('the TCP proxy', () => {
  let server: Server
  let proxy: TcpProxy
  let client: Socket
  let received: string
  let ended: 'no' | 'closed' | 'reset'
  let arrived: string
  let serverEnds: number

  beforeEach(async () => {
    arrived = ''
    serverEnds = 0
    server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      socket.on('data', (data) => {
        arrived += data
        socket.write(data)
      })
      socket.on('end', () => {
        serverEnds += 1
        socket.write('bye')
        setTimeout(() => socket.end(), 100)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    proxy = await startTcpProxy({ host: '127.0.0.1', port: address.port })
    client = await opened()
  })
  afterEach(async () => {
    client.destroy()
    await proxy.close()
    await new Promise((resolve) => server.close(resolve))
  })

  const opened = async () => {
    const socket = connect(proxy.port, '127.0.0.1')
    received = ''
    ended = 'no'
    socket.on('data', (data) => {
      received += data
    })
    socket.on('error', () => {
      ended = 'reset'
    })
    socket.on('close', () => {
      if (ended === 'no') ended = 'closed'
    })
    await once(socket, 'connect')
    await eventually(() => expect(proxy.open).toBe(1))
    return socket
  }
  const receives = (text: string) => eventually(() => expect(received).toBe(text))

  it('forwards and counts everything when no fault is set', async () => {
    client.write('hello')
    await receives('hello')
    expect(proxy).toMatchObject({ accepted: 1, open: 1, passedBytes: 10 })
  })

  it.each(['server', 'client', 'both'] as const)(
    'delivers the delayed data when a black hole towards %s ends',
    async (towards) => {
      proxy.weather({ kind: 'black hole', towards })
      client.write('one')
      await pauseMs(60)
      expect(received).toBe('')
      proxy.weather(undefined)
      client.write('two')
      await receives('onetwo')
    },
  )

  it.each([
    { kind: 'latency', ms: 60 },
    { kind: 'bandwidth', bytesPerS: 50, towards: 'both' },
  ] as const)('delays data by $kind, and loses none', async (weather) => {
    proxy.weather(weather)
    const since = performance.now()
    client.write('slow')
    await receives('slow')
    expect(performance.now() - since).toBeGreaterThan(100)
  })

  it('resets all connections', async () => {
    expect(proxy.cut()).toBe(1)
    await eventually(() => expect(ended).toBe('reset'))
    expect(proxy.cut()).toBe(0)
  })

  it('half-closes connections: closes the direction to the server, and leaves the other direction open', async () => {
    expect(proxy.halfClose()).toBe(1)
    await receives('bye')
    expect(serverEnds).toBe(1)
    expect(ended).toBe('no')
  })

  it('forwards less than half of the next chunk, and resets the connection', async () => {
    client.write('0123456789')
    await receives('0123456789')
    proxy.cutMidway(true)
    client.write('abcdefghij')
    await eventually(() => expect(ended).toBe('reset'))
    expect(proxy.cutsMidway).toBe(1)
    await eventually(() => expect(arrived).toBe('0123456789abcd'))
  })

  it('resets a new connection after a number of bytes from the server', async () => {
    client.destroy()
    await eventually(() => expect(proxy.open).toBe(0))
    proxy.cutAfterBytes(4)
    client = await opened()
    client.write('abcdefgh')
    await eventually(() => expect(ended).toBe('reset'))
    expect('abcd'.startsWith(received)).toBe(true)
  })

  it('resets new connections, and does not affect open ones', async () => {
    proxy.turnAway(true)
    const other = connect(proxy.port, '127.0.0.1')
    await expect(once(other, 'end')).rejects.toThrow('ECONNRESET')
    client.write('hello')
    await receives('hello')
    expect(proxy).toMatchObject({ accepted: 1, turnedAway: 1 })
  })

  it.each([0, 1])(
    'closes an AMQP connection %i responses after its open-ok, and drops all later data of the server',
    async (answers) => {
      const openOk = '\x01\0\0\0\0\0\x05\0\x0a\0\x29\0\xce'
      proxy.closeAsOpened(answers)
      client.setEncoding('latin1')
      client.write('tune')
      await receives('tune')
      client.write(Buffer.from(openOk, 'latin1'))
      await eventually(() => expect(received).toContain(openOk))
      client.write('next')
      await eventually(() => expect(proxy.closedAsOpened).toBe(1))
      client.write('dropped')
      await pauseMs(30)
      expect(received).toBe(`tune${openOk}${answers === 0 ? '' : 'next'}${CLOSE}`)
    },
  )

  it('holds the response to the second request that contains a text, and releases it', async () => {
    const held = proxy.holdAnswerTo('COMMIT', 2)
    client.write('COMMIT')
    await receives('COMMIT')
    client.write('COMMIT')
    await held.answered
    await pauseMs(30)
    expect(received).toBe('COMMIT')
    held.release()
    await receives('COMMITCOMMIT')
  })

  it('resets the connection instead of forwarding the response to a request that contains a text', async () => {
    proxy.loseAnswerTo('COMMIT')
    client.write('COMMIT')
    await eventually(() => expect(ended).toBe('reset'))
    expect(received).toBe('')
  })

  it('responds to a request with a MySQL error, and forwards the requests after it', async () => {
    const error = { errno: 1317, sqlState: '70100', message: 'no' }
    const packet = '\x0b\0\0\x01\xff\x25\x05#70100no'
    const refusals = proxy.refuse('COMMIT', error)
    client.setEncoding('latin1')
    client.write('COMMIT')
    await receives(packet)
    client.write('COMMIT')
    await receives(`${packet}COMMIT`)
    expect(refusals.count).toBe(1)
    proxy.refuse('COMMIT', error).end()
    client.write('COMMIT')
    await receives(`${packet}COMMITCOMMIT`)
  })

  it('refuses requests on open connections only, and forwards those of new connections', async () => {
    const refusals = proxy.refuse('COMMIT', { errno: 1290, sqlState: 'HY000', message: 'read-only' }, 9, 'open')
    client.write('COMMIT')
    await eventually(() => expect(received).toContain('read-only'))
    client.destroy()
    await eventually(() => expect(proxy.open).toBe(0))
    client = await opened()
    client.write('COMMIT')
    await receives('COMMIT')
    expect(refusals.count).toBe(1)
  })

  it('forwards the end of the connection from the client to the server, and the last data to the client', async () => {
    client.end()
    await receives('bye')
    expect(serverEnds).toBe(1)
  })
})

const pauseMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
