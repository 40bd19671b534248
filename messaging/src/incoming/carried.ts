// Selects the properties of a message that its dead letter can carry. Leaves out and names those that cannot be encoded again.
import type { Message } from 'amqplib'

/** Maximum bytes of headers. amqplib encodes headers in a buffer of 64 KiB. */
const HEADERS_MAX_BYTES = 32_768
/** The lowest frame_max that a peer may set (https://www.rabbitmq.com/amqp-0-9-1-reference#connection.tune). */
export const FRAME_MIN_BYTES = 4_096
/** Overhead of a frame with properties: its start and end, class, weight, size of the body, flags, and the length of the headers. */
const HEADER_FRAME_BYTES = 8 + 14 + 4
/** Properties other than headers: seven short strings, the timestamp and two single bytes. */
const PROPERTIES_MAX_BYTES = 7 * 256 + 10
/** A header with more deeply nested tables is left out. */
const DEPTH_MAX = 16
/** The maximum length of an AMQP short string, which also applies to header names. */
const SHORT_STRING_MAX_BYTES = 255

/**
 * RabbitMQ also routes a message to every queue that these headers name (https://www.rabbitmq.com/docs/sender-selected). If
 * they were kept, the sender could route our dead letters.
 */
const ROUTING_HEADERS: ReadonlySet<string> = new Set(['CC', 'BCC'])

/**
 * Always left out. An expiration would delete the dead letter. The broker rejects a user id that is not our own. The
 * cluster id is not used. Headers are filtered one by one.
 */
const NOT_CARRIED: ReadonlySet<string> = new Set(['headers', 'expiration', 'userId', 'clusterId'])

/** The id of a message, if it can be sent again. Bytes that are not UTF-8 are decoded to U+FFFD, so different ids may look the same. */
export const usableId = ({ messageId }: Message['properties']): string | undefined =>
  typeof messageId === 'string' &&
  messageId !== '' &&
  !messageId.includes('\ufffd') &&
  Buffer.byteLength(messageId) <= SHORT_STRING_MAX_BYTES
    ? messageId
    : undefined

export interface Carried {
  readonly properties: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
  /** Names of the properties and headers that had to be left out. */
  readonly dropped: readonly string[]
}

/** Bytes left for headers in a frame of `frameMax` bytes when all other properties have their maximum size. */
export const headerRoom = (frameMax: number): number => frameMax - HEADER_FRAME_BYTES - PROPERTIES_MAX_BYTES

/** Filters the properties of a message from any sender. Keeps at most `headersMax` bytes of headers. */
export function carried(given: Message['properties'], headersMax: number): Carried {
  const dropped: string[] = []
  const properties: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || NOT_CARRIED.has(name)) continue
    if (isWritableProperty(value)) properties[name] = value
    else dropped.push(name)
  }
  const headers: Record<string, unknown> = {}
  let room = Math.min(HEADERS_MAX_BYTES, headersMax)
  for (const [name, value] of Object.entries(given.headers ?? {})) {
    const size = bytesOfField(name, value, 1)
    if (ROUTING_HEADERS.has(name) || !(size <= room)) {
      dropped.push(`header ${name}`)
      continue
    }
    room -= size
    headers[name] = value
  }
  return { properties, headers, dropped }
}

/** Each byte that is not UTF-8 becomes three bytes when encoded again, so a received short string may be too long to be encoded. */
const isWritableProperty = (value: unknown): boolean =>
  typeof value === 'string'
    ? Buffer.byteLength(value) <= SHORT_STRING_MAX_BYTES
    : typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** The maximum encoded size of a table's field, in bytes. NaN if it cannot be encoded. */
function bytesOfField(name: string, value: unknown, depth: number): number {
  const nameBytes = Buffer.byteLength(name)
  return nameBytes > SHORT_STRING_MAX_BYTES ? Number.NaN : 1 + nameBytes + bytesOfValue(value, depth)
}

/** The maximum size of a number, boolean, timestamp or null: a tag and up to eight bytes. */
const PLAIN_BYTES = 9
const LENGTH_BYTES = 5

/** The maximum encoded size of a field's value, in bytes. NaN if it cannot be encoded. */
export function bytesOfValue(value: unknown, depth: number): number {
  if (value === null || typeof value === 'boolean') return PLAIN_BYTES
  if (typeof value === 'string') return LENGTH_BYTES + Buffer.byteLength(value)
  if (typeof value === 'number') return isWritableNumber(value) ? PLAIN_BYTES : Number.NaN
  // Not Buffer.isBuffer, because it also accepts a table whose field __proto__ contains bytes.
  if (ArrayBuffer.isView(value)) return LENGTH_BYTES + value.byteLength
  if (typeof value !== 'object' || depth > DEPTH_MAX) return Number.NaN
  if (Array.isArray(value))
    return value.reduce<number>((sum, element) => sum + bytesOfValue(element, depth + 1), LENGTH_BYTES)
  // amqplib marks types that JavaScript does not have with the member `!`, but a sender's table may have a field of that name too.
  if (Object.hasOwn(value, '!')) return isTimestamp(value) ? PLAIN_BYTES : Number.NaN
  if (Object.getPrototypeOf(value) !== Object.prototype) return Number.NaN
  return Object.entries(value).reduce((sum, [name, field]) => sum + bytesOfField(name, field, depth + 1), LENGTH_BYTES)
}

/** amqplib encodes fractions as doubles only below 2^50, and treats all other numbers as 64-bit integers. */
const isWritableNumber = (value: number): boolean =>
  Number.isFinite(value) && value >= -(2 ** 63) && (Number.isInteger(value) || Math.abs(value) < 2 ** 50)

function isTimestamp(value: object): boolean {
  const { '!': type, value: seconds }: { '!'?: unknown; value?: unknown } = value
  return type === 'timestamp' && typeof seconds === 'number' && Number.isSafeInteger(seconds) && seconds >= 0
}
