// Publishes messages whose properties and headers are given byte by byte, as a hostile client may send them.
import { once } from 'node:events'
import { Socket } from 'node:net'
import { connect } from 'amqplib'

/** Properties in their wire format, in the order of the protocol (AMQP 0-9-1, 4.2.6.1). Strings are bytes that may be invalid UTF-8. */
export interface RawProperties {
  readonly contentType?: Buffer
  readonly contentEncoding?: Buffer
  /** The content of the header table. See `field`. */
  readonly headers?: Buffer
  readonly deliveryMode?: number
  readonly priority?: number
  readonly correlationId?: Buffer
  readonly replyTo?: Buffer
  readonly expiration?: Buffer
  readonly messageId?: Buffer
  readonly timestamp?: bigint
  readonly type?: Buffer
  readonly appId?: Buffer
}

export interface RawPublisher {
  publish(queue: string, content: Buffer, properties?: RawProperties): Promise<void>
  /** Closes the connection. Rejects if the broker has closed it or the channel before, because of a published message. */
  close(): Promise<void>
}

const shortString = (text: Buffer): Buffer => Buffer.concat([Buffer.from([text.length]), text])
const longString = (bytes: Buffer): Buffer => Buffer.concat([uint(bytes.length, 4), bytes])

/** One field of a table: its name, the tag of its type (https://www.rabbitmq.com/amqp-0-9-1-errata), and its bytes. */
export const field = (name: string | Buffer, tag: string, value: Buffer): Buffer =>
  Buffer.concat([shortString(Buffer.from(name)), Buffer.from(tag), value])
/** The bytes of a field of type `S`, `x`, `F` or `A`. */
export const sized = (content: string | Buffer): Buffer => longString(Buffer.from(content))
/** The bytes of a field of type `d`. */
export const double = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes
}
/** The bytes of a field of type `l` or `T`. */
export const uint64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

/** Opens a connection and a channel. Published messages bypass the client library. */
export async function openRawPublisher(url: string): Promise<RawPublisher> {
  const model = await connect(url)
  const channel = await model.createChannel()
  let failure: Error | undefined
  model.on('error', (error) => {
    failure = error
  })
  channel.on('error', (error) => {
    failure = error
  })
  const socket: unknown = Reflect.get(model.connection, 'stream')
  if (!(socket instanceof Socket)) throw new Error('amqplib has changed: its connection has no socket `stream`')
  const number = Number(Reflect.get(channel, 'ch'))
  return {
    publish: async (queue, content, properties = {}) => {
      if (failure) throw failure
      if (!socket.write(frames(number, queue, content, properties))) await once(socket, 'drain')
    },
    close: async () => {
      // The broker responds to this request after it has handled all earlier messages.
      await channel.checkQueue('healthcheck').catch((error) => {
        failure ??= error
      })
      await model.close().catch(() => {})
      if (failure) throw failure
    },
  }
}

const BODY_MAX_BYTES = 131_064

function frames(channel: number, queue: string, content: Buffer, properties: RawProperties): Buffer {
  const publish = Buffer.concat([
    uint(60, 2),
    uint(40, 2),
    uint(0, 2),
    shortString(Buffer.alloc(0)),
    shortString(Buffer.from(queue)),
    uint(0, 1),
  ])
  const header = Buffer.concat([uint(60, 2), uint(0, 2), uint64(BigInt(content.length)), propertyList(properties)])
  const bodies: Buffer[] = []
  for (let at = 0; at < content.length; at += BODY_MAX_BYTES)
    bodies.push(frame(3, channel, content.subarray(at, at + BODY_MAX_BYTES)))
  return Buffer.concat([frame(1, channel, publish), frame(2, channel, header), ...bodies])
}

const frame = (type: number, channel: number, payload: Buffer): Buffer =>
  Buffer.concat([uint(type, 1), uint(channel, 2), uint(payload.length, 4), payload, Buffer.from([0xce])])

function propertyList(given: RawProperties): Buffer {
  const text = (value: Buffer | undefined) => value && shortString(value)
  const octet = (value: number | undefined) => (value === undefined ? undefined : uint(value, 1))
  const inOrder = [
    text(given.contentType),
    text(given.contentEncoding),
    given.headers && longString(given.headers),
    octet(given.deliveryMode),
    octet(given.priority),
    text(given.correlationId),
    text(given.replyTo),
    text(given.expiration),
    text(given.messageId),
    given.timestamp === undefined ? undefined : uint64(given.timestamp),
    text(given.type),
    undefined, // user id: the broker accepts only that of the connection
    text(given.appId),
  ]
  let flags = 0
  for (const [index, bytes] of inOrder.entries()) if (bytes) flags |= 0x8000 >> index
  return Buffer.concat([uint(flags, 2), ...inOrder.filter((bytes) => bytes !== undefined)])
}

function uint(value: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntBE(value, 0, bytes)
  return buffer
}
