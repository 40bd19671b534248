// What of a message's properties its dead letter can carry: whatever cannot be written again is left out and named.
import type { Message } from 'amqplib'

/** Bytes of headers that are carried, at most: amqplib encodes headers in a buffer of 64 KiB. */
const HEADERS_MOST_BYTES = 32_768
/** What no peer may set its largest frame below (https://www.rabbitmq.com/amqp-0-9-1-reference#connection.tune). */
export const FRAME_MIN_BYTES = 4_096
/** Of a frame with properties: its own start and end, class, weight, size of the body, flags, and the length of the headers. */
const HEADER_FRAME_BYTES = 8 + 14 + 4
/** Properties that are carried besides the headers: seven short strings, the timestamp and two single bytes. */
const PROPERTIES_MOST_BYTES = 7 * 256 + 10
/** A header whose tables nest deeper is left out. */
const DEPTH_MOST = 16
/** A short string of AMQP, names of headers included. */
const SHORT_STRING_MOST_BYTES = 255

/**
 * RabbitMQ delivers a message also to every queue that these name (https://www.rabbitmq.com/docs/sender-selected): carried
 * along, they would have us publish into queues that the sender chose.
 */
const ROUTING_HEADERS: ReadonlySet<string> = new Set(['CC', 'BCC'])

/**
 * Left out on purpose: an expiration would let the dead letter vanish, the broker checks the user id against our own login,
 * and the cluster id is nobody's.
 */
const NOT_CARRIED: ReadonlySet<string> = new Set(['headers', 'expiration', 'userId', 'clusterId'])

export interface Carried {
  readonly properties: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
  /** Names of the properties and headers that had to be left out. */
  readonly dropped: readonly string[]
}

/** Bytes of headers that fit into one frame of `frameMax` bytes with all other properties. */
export const headerRoom = (frameMax: number): number => frameMax - HEADER_FRAME_BYTES - PROPERTIES_MOST_BYTES

/** Sorts out the properties of a message from a peer who may have written anything; of its headers, `headersMost` bytes. */
export function carried(given: Message['properties'], headersMost: number): Carried {
  const dropped: string[] = []
  const properties: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || NOT_CARRIED.has(name)) continue
    if (isWritableProperty(value)) properties[name] = value
    else dropped.push(name)
  }
  const headers: Record<string, unknown> = {}
  let room = Math.min(HEADERS_MOST_BYTES, headersMost)
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

/** A byte that is not UTF-8 is three when it is written again, so that what came as a short string may be too long for one. */
const isWritableProperty = (value: unknown): boolean =>
  typeof value === 'string'
    ? Buffer.byteLength(value) <= SHORT_STRING_MOST_BYTES
    : typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** Bytes that a field of a table takes at most; NaN when it cannot be written. */
function bytesOfField(name: string, value: unknown, depth: number): number {
  const nameBytes = Buffer.byteLength(name)
  return nameBytes > SHORT_STRING_MOST_BYTES ? Number.NaN : 1 + nameBytes + bytesOfValue(value, depth)
}

/** Any number, and what has no content: a tag and up to eight bytes. */
const PLAIN_BYTES = 9
const LENGTH_BYTES = 5

/** Bytes that the value of a field takes at most; NaN when it cannot be written. */
export function bytesOfValue(value: unknown, depth: number): number {
  if (value === null || typeof value === 'boolean') return PLAIN_BYTES
  if (typeof value === 'string') return LENGTH_BYTES + Buffer.byteLength(value)
  if (typeof value === 'number') return isWritableNumber(value) ? PLAIN_BYTES : Number.NaN
  // Not Buffer.isBuffer, which a table with a header __proto__ of bytes passes.
  if (ArrayBuffer.isView(value)) return LENGTH_BYTES + value.byteLength
  if (typeof value !== 'object' || depth > DEPTH_MOST) return Number.NaN
  if (Array.isArray(value))
    return value.reduce<number>((sum, element) => sum + bytesOfValue(element, depth + 1), LENGTH_BYTES)
  // `!` is how amqplib marks types that JavaScript does not have, and a name like any other for whoever sent a table.
  if (Object.hasOwn(value, '!')) return isTimestamp(value) ? PLAIN_BYTES : Number.NaN
  if (Object.getPrototypeOf(value) !== Object.prototype) return Number.NaN
  return Object.entries(value).reduce((sum, [name, field]) => sum + bytesOfField(name, field, depth + 1), LENGTH_BYTES)
}

/** amqplib writes fractions as doubles below 2^50 only, and takes all other numbers for 64-bit integers. */
const isWritableNumber = (value: number): boolean =>
  Number.isFinite(value) && value >= -(2 ** 63) && (Number.isInteger(value) || Math.abs(value) < 2 ** 50)

function isTimestamp(value: object): boolean {
  const { '!': type, value: seconds }: { '!'?: unknown; value?: unknown } = value
  return type === 'timestamp' && typeof seconds === 'number' && Number.isSafeInteger(seconds) && seconds >= 0
}
