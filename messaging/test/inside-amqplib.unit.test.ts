// The amqplib internals that we rely on. A new version that changes them fails here and not in production.
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type ChannelModel, connect } from 'amqplib'
import {
  channelEnd,
  connectionEnd,
  encodeMessages,
  frameMaxOf,
  gatherWrites,
  socketOf,
  watchConnections,
} from '../src/connection/inside-amqplib.ts'
import { closeFrame } from './frame-proxy.ts'

/** The broker's frames of a handshake: start, tune (frames of 8,192 bytes), open-ok, channel.open-ok and confirm.select-ok. */
const START = method(10, 10, [
  0,
  9,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  5,
  ...Buffer.from('PLAIN'),
  0,
  0,
  0,
  5,
  ...Buffer.from('en_US'),
])
const TUNE = method(10, 30, [0, 8, 0, 0, 0x20, 0, 0, 0])
const OPEN_OK = method(10, 41, [0])
const CHANNEL_OPEN_OK = method(20, 11, [0, 0, 0, 0], 1)
const CONFIRM_SELECT_OK = method(85, 11, [], 1)

function method(classId: number, methodId: number, fields: readonly number[], channel = 0): Buffer {
  const payload = [0, classId, 0, methodId, ...fields]
  return Buffer.from([1, 0, channel, 0, 0, 0, payload.length, ...payload, 0xce])
}

describe('amqplib', () => {
  let server: Server
  let socket: Socket | undefined
  let responses: Buffer[]
  let port: number

  beforeEach(async () => {
    server = createServer((accepted) => {
      socket = accepted
      accepted.on('error', () => {})
      let received: Buffer = Buffer.alloc(0)
      let greeted = false
      const next = () => {
        if (!greeted) return 8
        return received.length < 7 ? Number.POSITIVE_INFINITY : 8 + received.readUInt32BE(3)
      }
      accepted.on('data', (data) => {
        received = Buffer.concat([received, data])
        for (let size = next(); received.length >= size; size = next()) {
          received = received.subarray(size)
          greeted = true
          accepted.write(responses.shift() ?? '')
        }
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    port = address.port
  })
  afterEach(() => {
    socket?.destroy()
    server.close()
  })

  const connected = async (...given: Buffer[]): Promise<ChannelModel> => {
    responses = given.toSpliced(2, 0, Buffer.alloc(0)) // tune-ok has no response
    const model = await connect({ hostname: '127.0.0.1', port, heartbeat: 0 })
    return model.on('error', () => {})
  }

  it.each([
    [320, 'CONNECTION_FORCED - drained'],
    [541, 'INTERNAL_ERROR'],
    [530, 'NOT_ALLOWED - vhost full'],
  ])(
    'rejects a connection with the broker’s reason when it is closed right after open-ok with %i',
    async (code, text) => {
      await expect(connected(START, TUNE, Buffer.concat([OPEN_OK, closeFrame(code, text)]))).rejects.toMatchObject({
        message: `the broker closed the connection: ${code} ${text}`,
        code,
      })
    },
  )

  it('rejects a connection with the broker’s reason when the broker closes it instead of opening it', async () => {
    await expect(connected(START, TUNE, closeFrame(530, 'NOT_ALLOWED - no such vhost'))).rejects.toThrow(
      'the broker closed the connection: 530 NOT_ALLOWED - no such vhost',
    )
  })

  it('reports why a connection and its channel have ended', async () => {
    const model = await connected(START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, CONFIRM_SELECT_OK)
    const channel = await model.createConfirmChannel()
    expect([connectionEnd(model), channelEnd(channel), frameMaxOf(model)]).toEqual([undefined, undefined, 8_192])
    socket?.write(closeFrame(320, 'drained'))
    await new Promise((resolve) => socketOf(model).once('close', resolve))
    expect(connectionEnd(model)?.message).toBe('the broker closed the connection: 320 drained')
    expect(channelEnd(channel)).toBe(connectionEnd(model))
  })

  it('reports why a channel was closed right after it opened, and keeps its connection', async () => {
    const closed = Buffer.concat([CONFIRM_SELECT_OK, closeFrame(541, 'INTERNAL_ERROR', 1)])
    const model = await connected(START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, closed)
    const channel = await model.createConfirmChannel()
    expect(channelEnd(channel)?.message).toMatch('541')
    expect(connectionEnd(model)).toBeUndefined()
  })

  // If a new version fails here, `watchConnections` may no longer be needed.
  it('still handles frames before it returns the connection', async () => {
    const order: string[] = []
    const prototype = Object.getPrototypeOf((await connected(START, TUNE, OPEN_OK)).connection)
    const { open } = prototype
    prototype.open = function (fields: unknown, opened: (error: unknown) => void) {
      this.on('close', () => order.push('closed'))
      open.call(this, fields, (error: unknown) => {
        order.push('returned')
        opened(error)
      })
    }
    await expect(connected(START, TUNE, Buffer.concat([OPEN_OK, closeFrame(320, 'drained')]))).rejects.toThrow()
    prototype.open = open
    expect(order).toEqual(['closed', 'returned'])
  })

  it('combines all messages that are published in one turn of the event loop into one write', async () => {
    const model = await connected(START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, CONFIRM_SELECT_OK)
    const channel = await model.createConfirmChannel()
    const out = socketOf(model)
    const writes: number[] = []
    const { _write, _writev } = out
    out._write = (chunk, ...rest) => {
      writes.push(1)
      _write.call(out, chunk, ...rest)
    }
    out._writev = (chunks, done) => {
      writes.push(chunks.length)
      _writev?.call(out, chunks, done)
    }
    for (let n = 0; n < 50; n += 1) channel.publish('', 'q', Buffer.from(String(n)))
    while (writes.reduce((sum, chunks) => sum + chunks, 0) < 50) await new Promise((resolve) => setImmediate(resolve))
    expect(writes).toHaveLength(1)
    out.destroy()
  })

  it('is rejected when it no longer buffers writes as expected', () => {
    expect(() => gatherWrites({} as Parameters<typeof gatherWrites>[0])).toThrow('amqplib has changed')
  })

  it('is rejected when it no longer publishes as expected', () => {
    const channel = { publish: () => {}, sendMessage: () => {} }
    const connection = { sendMessage: () => {}, channels: [], frameMax: 8_192, sentSinceLastCheck: false }
    const encode = () => 0
    const missing = undefined as never
    const incomplete: readonly Parameters<typeof encodeMessages>[] = [
      [{ ...channel, publish: missing }, connection, encode],
      [{ ...channel, sendMessage: missing }, connection, encode],
      [channel, { ...connection, sendMessage: missing }, encode],
      [channel, connection, missing],
    ]
    for (const parts of incomplete) expect(() => encodeMessages(...parts)).toThrow('amqplib has changed')
  })

  it.each(['open', 'recvFrame', 'freshChannel', 'checkRecv'])('is rejected when its connection has no %s', (name) => {
    const methods = {
      open: () => {},
      recvFrame: () => false as const,
      freshChannel: () => 1,
      checkRecv: () => true,
      on: () => {},
      rest: null,
    }
    expect(() => watchConnections({ ...methods, [name]: undefined })).toThrow(
      `amqplib has changed: its internal ${name} is missing`,
    )
  })
})
