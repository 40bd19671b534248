// Flattens deeply nested headers in a frame before amqplib decodes it. amqplib decodes headers recursively, so thousands of
// levels overflow the stack. The connection would end, and the broker would redeliver the message again and again.

/** Maximum nesting of tables and arrays. Deeper ones are decoded as bytes. */
const LEVELS_MAX = 32
/** A smaller frame has fewer than a hundred levels, so it is not checked. */
const CHECKED_MIN_BYTES = 512

const HEADER_FRAME = 2
const FRAME_START_BYTES = 7
/** The property flags follow the class, the weight and the body size, which take twelve bytes. */
const FLAGS_AT = FRAME_START_BYTES + 12
const CONTENT_TYPE = 0x8000
const CONTENT_ENCODING = 0x4000
const HEADERS = 0x2000

const TABLE = 'F'.charCodeAt(0)
const ARRAY = 'A'.charCodeAt(0)
const BYTES = 'x'.charCodeAt(0)
const TEXT = 'S'.charCodeAt(0)
/** Sizes of the fixed-size values, by tag (https://www.rabbitmq.com/amqp-0-9-1-errata). */
const SIZES: ReadonlyMap<number, number> = new Map(
  Object.entries({ t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, f: 4, D: 5, l: 8, d: 8, T: 8, V: 0 }).map(
    ([tag, size]) => [tag.charCodeAt(0), size],
  ),
)

/**
 * If `received` starts with a complete header frame, turns tables and arrays that are nested too deeply into byte arrays.
 * Changes only their tags in `received`, because all three types consist of a length and that many bytes.
 */
export function flattenHeaders(received: Buffer): void {
  if (received.length < CHECKED_MIN_BYTES || received[0] !== HEADER_FRAME) return
  const end = FRAME_START_BYTES + received.readUInt32BE(3)
  if (end < CHECKED_MIN_BYTES || received.length < end) return
  const flags = received.readUInt16BE(FLAGS_AT)
  if ((flags & HEADERS) === 0) return
  let at = FLAGS_AT + 2
  if (flags & CONTENT_TYPE) at += 1 + (received[at] ?? 0)
  if (flags & CONTENT_ENCODING) at += 1 + (received[at] ?? 0)
  flatten(received, at, end, { level: 1, named: true })
}

/** Visits the values of a table (`named`) or an array. Its length field is at `start`. */
function flatten(bytes: Buffer, start: number, end: number, { level, named }: { level: number; named: boolean }): void {
  if (start + 4 > end) return
  const until = Math.min(end, start + 4 + bytes.readUInt32BE(start))
  for (let at = start + 4; at < until; ) {
    if (named) at += 1 + (bytes[at] ?? 0)
    const tag = bytes[at] ?? 0
    const fixed = SIZES.get(tag)
    if (fixed !== undefined) {
      at += 1 + fixed
      continue
    }
    if (at + 5 > until || ![TABLE, ARRAY, BYTES, TEXT].includes(tag)) return
    if (tag === TABLE || tag === ARRAY) {
      if (level < LEVELS_MAX) flatten(bytes, at + 1, until, { level: level + 1, named: tag === TABLE })
      else bytes[at] = BYTES
    }
    at += 5 + bytes.readUInt32BE(at + 1)
  }
}
