// Describes a dead letter for operators. Accepts values of any type, and never throws.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Message } from 'amqplib'
import { z } from 'zod'
import { usableId } from '../incoming/carried.ts'
import { LETTER_ID_HEADER } from '../incoming/dead-letter.ts'
import { requestIdOf } from '../origin.ts'
import { shortened, wholeCharacters } from './text.ts'

/** A dead letter as plain JSON. Unknown members are null. */
export interface DeadLetter {
  /** The message's own id. If it is missing or cannot be encoded again: `~` and a hash of the content and `x-letter-id` or `failedAt`. */
  readonly id: string
  /** The id of the HTTP request that sent it. */
  readonly requestId: string | null
  readonly queue: string
  /** Why it was dead-lettered: the consumer's reason, or the broker's (`delivery_limit`, `rejected`, `expired`, `maxlen`). */
  readonly reason: string
  readonly error: string | null
  readonly failedAt: string | null
  /** The consumer that dead-lettered it, or `broker`. */
  readonly by: string | null
  /** How often the message was attempted before it was dead-lettered. */
  readonly attempts: number | null
  readonly bytes: number
  /** `base64` if the body is not UTF-8. */
  readonly encoding: 'utf8' | 'base64'
  /** True when `body` is truncated. */
  readonly shortened: boolean
  readonly body: string
  readonly properties: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
}

const REASON_UNKNOWN = 'unknown'
const NESTING_MAX = 8

/** A non-empty string, truncated to `max` characters, because a header may be very long. */
const text = (max: number) =>
  z
    .string()
    .min(1)
    .transform((value) => shortened(value, max))
const orNull = <T>(schema: z.ZodType<T>) => schema.nullable().catch(null)
const ours = z.object({
  'x-reason': orNull(text(200)),
  'x-error': orNull(text(2_500)),
  'x-failed-at': orNull(text(64)),
  [LETTER_ID_HEADER]: orNull(text(64)),
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

/** Describes a message of `<queue>.dead-letter`, with the first `bodyMaxBytes` of its body. */
export function described(queue: string, message: Message, bodyMaxBytes: number): DeadLetter {
  const { content, properties } = message
  const { headers, ...rest } = properties
  return {
    id: idOf(message),
    requestId: requestIdOf(headers) ?? null,
    queue,
    ...whyOf(headers),
    bytes: content.length,
    ...shownBody(content, bodyMaxBytes),
    properties: plainMembers(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))),
    headers: plainMembers(headers),
  }
}

/**
 * The id of a dead letter, used to select it. Of a message without an id that the broker dead-lettered, only the second is
 * known in which it did so: equal ones of the same second have the same id.
 */
export function idOf({ content, properties }: Message): string {
  const own = usableId(properties)
  if (own !== undefined) return own
  const { data } = ours.safeParse(properties.headers ?? {})
  const origin = data?.[LETTER_ID_HEADER] ?? data?.['x-failed-at'] ?? whyOf(properties.headers).failedAt ?? ''
  // The origin and the body are hashed one after the other, because joining them would copy the body, which may have 15 MiB.
  return `~${createHash('sha256').update(`${origin} `).update(content).digest('hex').slice(0, 32)}`
}

/** Only the reason of a dead letter. Cheaper than `described`. */
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

function shownBody(content: Buffer, maxBytes: number): Pick<DeadLetter, 'encoding' | 'shortened' | 'body'> {
  const encoding = isUtf8(content) ? 'utf8' : 'base64'
  const end = wholeCharacters(content, encoding, maxBytes)
  return { encoding, shortened: end < content.length, body: content.toString(encoding, 0, end) }
}

function plainMembers(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each, 1)]))
}

/** A header's value as JSON: bytes as base64, timestamps and similar types as amqplib returns them. */
function plain(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value)
  if (Buffer.isBuffer(value)) return { base64: value.toString('base64') }
  if (typeof value !== 'object' || value === null) return value
  if (depth > NESTING_MAX) return '…'
  if (Array.isArray(value)) return value.map((each) => plain(each, depth + 1))
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each, depth + 1)]))
}
