// Encodes basic.publish with its properties and content (https://www.rabbitmq.com/amqp-0-9-1-reference#basic.publish).
// amqplib allocates a buffer for each frame and then copies the buffers into one, which takes six times as long.
import type { Options } from 'amqplib'

const METHOD = 1
const HEADER = 2
const BODY = 3
const BASIC = 60
const BASIC_PUBLISH = (BASIC << 16) | 40
const FRAME_END = 0xce
/** Type, channel and size, before the payload of a frame. */
const START_BYTES = 7
const SHORT_STRING_MAX_BYTES = 255
/** Content up to this size is copied into the same buffer as its header. It fits into one frame even with the lowest frame_max. */
const COPIED_MAX_BYTES = 2_048
const UINT32 = 2 ** 32

/** Ordered by their flag, from the highest bit down (https://www.rabbitmq.com/amqp-0-9-1-reference#class.basic). */
const PROPERTIES = [
  ['contentType', 'short string'],
  ['contentEncoding', 'short string'],
  ['headers', 'table'],
  ['deliveryMode', 'octet'],
  ['priority', 'octet'],
  ['correlationId', 'short string'],
  ['replyTo', 'short string'],
  ['expiration', 'short string'],
  ['messageId', 'short string'],
  ['timestamp', 'timestamp'],
  ['type', 'short string'],
  ['userId', 'short string'],
  ['appId', 'short string'],
] as const

type Name = (typeof PROPERTIES)[number][0]

/** Writes a field table at `offset` and returns its length. Throws RangeError if it does not fit into the buffer. */
export type EncodeTable = (buffer: Buffer, table: object, offset: number) => number

export interface Destination {
  readonly exchange: string
  readonly routingKey: string
  readonly mandatory: boolean
}

export interface Publication extends Destination {
  readonly channel: number
  readonly options: Options.Publish
  readonly content: Buffer
}

/** The highest offset at which the headers may end. They may have 64 KiB, as in amqplib, and follow the method, the exchange and the routing key. */
const HEADERS_END_MAX_BYTES = 2_048 + 65_536
/** Maximum size of the other properties and of the overhead of the frames. */
const REST_MAX_BYTES = 16 * (1 + SHORT_STRING_MAX_BYTES)
/** Reused for every message. */
const scratch = Buffer.allocUnsafeSlow(HEADERS_END_MAX_BYTES + REST_MAX_BYTES + COPIED_MAX_BYTES)
const upToHeaders = scratch.subarray(0, HEADERS_END_MAX_BYTES)

/**
 * Returns the frames of a message, as buffers to write in order. Large content is not copied, but divided into frames of at
 * most `frameMax` bytes.
 * @throws TypeError if a property has a wrong type, is too long or is not supported, RangeError if the headers are too large
 */
export function publishFrames(message: Publication, frameMax: number, encodeTable: EncodeTable): readonly Buffer[] {
  const { channel, content, options } = message
  if (options.CC !== undefined || options.BCC !== undefined) throw new TypeError('CC and BCC are not supported')
  let end = writeMethod(0, message)
  end = writeHeader(end, message, encodeTable)
  if (content.length > COPIED_MAX_BYTES) return [copied(end), ...bodyFrames(channel, content, frameMax)]
  if (content.length === 0) return [copied(end)]
  content.copy(scratch, end + START_BYTES)
  return [copied(endFrame(BODY, channel, end, end + START_BYTES + content.length))]
}

function copied(end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end)
  scratch.copy(bytes, 0, 0, end)
  return bytes
}

function* bodyFrames(channel: number, content: Buffer, frameMax: number): Iterable<Buffer> {
  const payloadMax = frameMax - START_BYTES - 1
  for (let from = 0; from < content.length; from += payloadMax) {
    const payload = content.subarray(from, from + payloadMax)
    startFrame(BODY, channel, 0, payload.length)
    yield copied(START_BYTES)
    yield payload
    yield END
  }
}

const END = Buffer.from([FRAME_END])

function writeMethod(start: number, { channel, exchange, routingKey, mandatory }: Publication): number {
  let at = start + START_BYTES
  scratch.writeUInt32BE(BASIC_PUBLISH, at)
  scratch.writeUInt16BE(0, at + 4) // reserved
  at = writeShortString(at + 6, 'exchange', exchange)
  at = writeShortString(at, 'routingKey', routingKey)
  scratch[at] = mandatory ? 1 : 0
  return endFrame(METHOD, channel, start, at + 1)
}

function writeHeader(start: number, { channel, options, content }: Publication, encodeTable: EncodeTable): number {
  const payload = start + START_BYTES
  scratch.writeUInt16BE(BASIC, payload)
  scratch.writeUInt16BE(0, payload + 2) // weight
  writeUInt64(payload + 4, content.length)
  let at = payload + 14
  let flags = 0
  let flag = 1 << 15
  for (const [name, type] of PROPERTIES) {
    const value = propertyOf(name, options)
    if (value !== undefined) {
      flags |= flag
      at = type === 'table' ? at + encodeTable(upToHeaders, value, at) : writeProperty(at, name, type, value)
    }
    flag >>= 1
  }
  scratch.writeUInt16BE(flags, payload + 12)
  return endFrame(HEADER, channel, start, at)
}

/** The value of a property. Interprets the options like amqplib. */
function propertyOf(name: Name, options: Options.Publish) {
  if (name === 'headers') return options.headers ?? {}
  if (name === 'expiration') return options.expiration === undefined ? undefined : String(options.expiration)
  if (name === 'deliveryMode' && options.persistent !== undefined) return options.persistent ? 2 : 1
  return options[name]
}

function writeProperty(at: number, name: Name, type: 'short string' | 'octet' | 'timestamp', value: unknown): number {
  if (type === 'short string') return writeShortString(at, name, value)
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new TypeError(`${name} must be an integer`)
  return type === 'timestamp' ? writeUInt64(at, value) : scratch.writeUInt8(value, at)
}

function writeShortString(at: number, name: string, value: unknown): number {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string`)
  const length = value.length > SHORT_STRING_MAX_BYTES ? Number.POSITIVE_INFINITY : scratch.write(value, at + 1)
  if (length > SHORT_STRING_MAX_BYTES) throw new TypeError(`${name} has more than ${SHORT_STRING_MAX_BYTES} bytes`)
  scratch[at] = length
  return at + 1 + length
}

function writeUInt64(at: number, value: number): number {
  scratch.writeUInt32BE(Math.floor(value / UINT32), at)
  return scratch.writeUInt32BE(value % UINT32, at + 4)
}

function startFrame(type: number, channel: number, start: number, payloadBytes: number): void {
  scratch[start] = type
  scratch.writeUInt16BE(channel, start + 1)
  scratch.writeUInt32BE(payloadBytes, start + 3)
}

/** Completes the frame from `start` whose payload ends before `end`, and returns where the next frame starts. */
function endFrame(type: number, channel: number, start: number, end: number): number {
  startFrame(type, channel, start, end - start - START_BYTES)
  scratch[end] = FRAME_END
  return end + 1
}
