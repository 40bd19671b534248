// Pure: what a dead letter says, for people. Everything in it may be of the wrong type; nothing here throws.
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import type { Message } from 'amqplib'
import { z } from 'zod'
import { shortened } from './text.ts'

/** A dead letter as it is shown: plain JSON, whatever the message held. Members that it does not tell are null. */
export interface DeadLetter {
  /** The message's own id, or, for one that has none that can be written again, `~` and a hash of what it holds. */
  readonly id: string
  readonly queue: string
  /** Why it was set aside: the consumer's reason, or the broker's (`delivery_limit`, `rejected`, `expired`, `maxlen`). */
  readonly reason: string
  readonly error: string | null
  readonly failedAt: string | null
  /** The consumer that set it aside; `broker` when the broker did. */
  readonly by: string | null
  /** How often it was tried before. */
  readonly attempts: number | null
  readonly bytes: number
  /** base64: the body is not UTF-8. */
  readonly encoding: 'utf8' | 'base64'
  /** True when `body` is only the beginning. */
  readonly shortened: boolean
  readonly body: string
  readonly properties: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
}

const REASON_UNKNOWN = 'unknown'
const NESTING_MOST = 8
/** A short string of AMQP. */
const ID_MOST_BYTES = 255

/** A sender may write what it likes into a header, a hundred kilobytes of it. */
const text = (most: number) =>
  z
    .string()
    .min(1)
    .transform((value) => shortened(value, most))
const orNull = <T>(schema: z.ZodType<T>) => schema.nullable().catch(null)
const ours = z.object({
  'x-reason': orNull(text(200)),
  'x-error': orNull(text(2_500)),
  'x-failed-at': orNull(text(64)),
  'x-consumer': orNull(text(200)),
  'x-attempts': orNull(z.int().min(1)),
  'x-delivery-count': orNull(z.int().min(0)),
  'x-death': z.unknown().optional(),
})
const death = z.object({
  reason: text(200).catch(REASON_UNKNOWN),
  time: z
    .object({ value: z.number().min(0).max(8.64e12) })
    .nullable()
    .catch(null),
})
const deaths = z.tuple([death]).rest(z.unknown())

/** Describes a message of `<queue>.dead-letter`, with the first `bodyMostBytes` of its body. */
export function described(queue: string, message: Message, bodyMostBytes: number): DeadLetter {
  const { content, properties } = message
  const { headers, ...rest } = properties
  return {
    id: idOf(message),
    queue,
    ...whyOf(headers),
    bytes: content.length,
    ...shownBody(content, bodyMostBytes),
    properties: plainMembers(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))),
    headers: plainMembers(headers),
  }
}

/** What a dead letter is chosen by. */
export function idOf({ content, properties }: Message): string {
  const { messageId } = properties
  // Bytes that were no UTF-8 are longer as text: such an id may have become one that cannot be written again.
  if (typeof messageId === 'string' && messageId !== '' && Buffer.byteLength(messageId) <= ID_MOST_BYTES)
    return messageId
  const failedAt = ours.safeParse(properties.headers ?? {}).data?.['x-failed-at'] ?? ''
  return `~${hash('sha256', Buffer.concat([Buffer.from(`${failedAt} `), content]), 'hex').slice(0, 32)}`
}

/** Only the reason: cheaper than the whole description. */
export function reasonOf({ properties }: Message): string {
  return whyOf(properties.headers).reason
}

type Why = Pick<DeadLetter, 'reason' | 'error' | 'failedAt' | 'by' | 'attempts'>

function whyOf(headers: unknown): Why {
  const { data } = ours.safeParse(headers ?? {})
  const byBroker = deaths.safeParse(data?.['x-death']).data?.[0]
  const reason = data?.['x-reason']
  if (data === undefined || (reason === null && byBroker === undefined))
    return { reason: REASON_UNKNOWN, error: null, failedAt: null, by: null, attempts: null }
  if (typeof reason === 'string') {
    const failedAt = data['x-failed-at']
    return { reason, error: data['x-error'], failedAt, by: data['x-consumer'], attempts: data['x-attempts'] }
  }
  const seconds = byBroker?.time?.value
  return {
    reason: byBroker?.reason ?? REASON_UNKNOWN,
    error: null,
    failedAt: seconds === undefined ? null : new Date(seconds * 1_000).toISOString(),
    by: 'broker',
    attempts: data['x-delivery-count'],
  }
}

function shownBody(content: Buffer, mostBytes: number): Pick<DeadLetter, 'encoding' | 'shortened' | 'body'> {
  const encoding = isUtf8(content) ? 'utf8' : 'base64'
  let end = Math.min(content.length, mostBytes)
  // Not in the middle of a character: the bytes after its first begin with the bits 10.
  if (encoding === 'utf8') while (end > 0 && end < content.length && ((content[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return { encoding, shortened: end < content.length, body: content.toString(encoding, 0, end) }
}

function plainMembers(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each, 1)]))
}

/** A header's value as JSON can say it: bytes as base64, timestamps and the like as amqplib gives them. */
function plain(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value)
  if (Buffer.isBuffer(value)) return { base64: value.toString('base64') }
  if (typeof value !== 'object' || value === null) return value
  if (depth > NESTING_MOST) return '…'
  if (Array.isArray(value)) return value.map((each) => plain(each, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each, depth + 1)]))
}
