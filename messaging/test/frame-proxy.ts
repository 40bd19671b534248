// A proxy in front of RabbitMQ that changes, adds or delays individual frames from the broker.
import { connect, createServer, type Socket } from 'node:net'
import type { Server } from '@ims/runtime/server-list'

export interface Frame {
  readonly bytes: Buffer
  readonly channel: number
  /** Class and method, such as `10.41` for connection.open-ok. Undefined when the frame is not a method. */
  readonly method: string | undefined
}

/** Returns the bytes that the client receives instead of `frame`. `nth` is the number of the connection, from 1. */
export type Change = (frame: Frame, nth: number) => Buffer | Promise<Buffer>

export interface FrameProxy {
  readonly server: Server
  /** Applies `change` to every later frame. `undefined` forwards frames unchanged. */
  change(change: Change | undefined): void
  /** Sends `bytes` to every connected client. Returns the number of clients. */
  send(bytes: Buffer): number
  close(): void
}

const FRAME_OVERHEAD = 8

export async function startFrameProxy(target: Server): Promise<FrameProxy> {
  let change: Change | undefined
  let accepted = 0
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  const listener = createServer((client) => {
    accepted += 1
    const nth = accepted
    const server = connect(target)
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => other.destroy())
    }
    clients.add(client)
    client.on('close', () => clients.delete(client))
    client.pipe(server)
    let rest: Buffer = Buffer.alloc(0)
    // Each channel has its own chain of writes, so that a delayed frame delays only its own channel.
    const written = new Map<number, Promise<void>>()
    server.on('data', (data) => {
      rest = Buffer.concat([rest, data])
      for (let size = frameSize(rest); rest.length >= size; size = frameSize(rest)) {
        const frame = described(rest.subarray(0, size))
        rest = rest.subarray(size)
        const next = (written.get(frame.channel) ?? Promise.resolve()).then(async () => {
          const bytes = (await change?.(frame, nth)) ?? frame.bytes
          if (!client.destroyed) client.write(bytes)
        })
        written.set(frame.channel, next)
      }
    })
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    server: { host: '127.0.0.1', port: address.port },
    change: (wanted) => {
      change = wanted
    },
    send: (bytes) => {
      for (const client of clients) client.write(bytes)
      return clients.size
    },
    close: () => {
      listener.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const frameSize = (begun: Buffer): number =>
  begun.length < 7 ? Number.POSITIVE_INFINITY : FRAME_OVERHEAD + begun.readUInt32BE(3)

function described(bytes: Buffer): Frame {
  const isMethod = bytes[0] === 1
  return {
    bytes,
    channel: bytes.readUInt16BE(1),
    method: isMethod ? `${bytes.readUInt16BE(7)}.${bytes.readUInt16BE(9)}` : undefined,
  }
}

/** A broker's connection.close frame, or its channel.close frame if `channel` is not 0. */
export function closeFrame(code: number, text: string, channel = 0): Buffer {
  const payload = Buffer.alloc(4 + 2 + 1 + text.length + 4)
  payload.writeUInt16BE(channel === 0 ? 10 : 20, 0)
  payload.writeUInt16BE(channel === 0 ? 50 : 40, 2)
  payload.writeUInt16BE(code, 4)
  payload.writeUInt8(text.length, 6)
  payload.write(text, 7, 'latin1')
  const start = Buffer.alloc(7)
  start.writeUInt8(1, 0)
  start.writeUInt16BE(channel, 1)
  start.writeUInt32BE(payload.length, 3)
  return Buffer.concat([start, payload, Buffer.from([0xce])])
}
