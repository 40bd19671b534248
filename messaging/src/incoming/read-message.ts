// Parses a message by its contract. The result is a delivery for the handler, or a refusal that depends only on the message.
import { hash } from 'node:crypto'
import type { Message } from 'amqplib'
import { z } from 'zod'
import type { Contract } from '../contract.ts'
import type { Delivery, Outcome } from '../handler.ts'
import { parseJson } from '../json.ts'
import { isReplyAddress } from '../outgoing/reply.ts'

/** `attempts`: how often this delivery was attempted. 1 if omitted. */
export type Refused = Extract<Outcome, { kind: 'refused' }> & { readonly attempts?: number }

const refused = (reason: string, error: string): Refused => ({ kind: 'refused', reason, error })

/** Parses a message by its contract. Returns a delivery for the handler, or a refusal with the reason. */
export function readMessage<Body>(
  contract: Contract<Body>,
  { content, fields, properties }: Message,
  maxBytes: number,
): Delivery<Body> | Refused {
  if (content.length > maxBytes) return refused('too-large', `${content.length} bytes, at most ${maxBytes} are read`)
  const fault = faultOfProperties(contract, properties)
  if (fault !== undefined) return refused('invalid', fault)
  const parsed = parseJson(content)
  if (!parsed.ok) return refused(parsed.reason, parsed.error)
  const { data, error } = contract.body.safeParse(parsed.value)
  if (error) {
    const problems = error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`)
    return refused('invalid', problems.join('; '))
  }
  const headers = properties.headers ?? {}
  const wrong = contract.kind === 'query' ? contract.headers.safeParse(headers).error : undefined
  if (wrong)
    return refused(
      'invalid',
      wrong.issues.map(({ path, message }) => `header ${path.join('.')}: ${message}`).join('; '),
    )
  return {
    body: data,
    messageId:
      typeof properties.messageId === 'string' && properties.messageId !== '' ? properties.messageId : undefined,
    redelivered: fields.redelivered,
    redrives: redrivesOf(properties),
    fingerprint: hash('sha256', content, 'hex').slice(0, 32),
    headers,
  }
}

/** The problem of the properties and headers, in a sentence that names the field. Undefined if there is none. */
function faultOfProperties(
  { kind }: Contract,
  { messageId, replyTo, headers }: Message['properties'],
): string | undefined {
  // amqplib decodes bytes that are not UTF-8 to this character, so two different ids may look the same.
  if (typeof messageId === 'string' && messageId.includes('\ufffd')) return 'messageId: must be valid UTF-8'
  // A header with this name and a table as its value becomes the prototype of the headers, so its fields look like headers.
  if (headers !== undefined && Object.getPrototypeOf(headers) !== Object.prototype)
    return 'header __proto__: no header may have this name'
  // A command with an invalid address is still applied, as in the Python suite, but gets no reply. A query without a reply has
  // no effect, so it is refused.
  if (kind === 'query' && replyTo !== undefined && !isReplyAddress(replyTo))
    return `replyTo: ${JSON.stringify(replyTo)} is neither an address of direct reply-to nor a queue that the broker named`
  return undefined
}

export const REDRIVES_HEADER = 'x-redrives'
/** The count of redrives stops at this value. Each count has its own key in the inbox. A status request reads only the keys up to 20. */
export const REDRIVES_MAX = 100
const redrivesHeader = z.int().min(0).max(REDRIVES_MAX).catch(0)

/** How often a message was redriven. 0 when the header is missing or invalid. */
export function redrivesOf({ headers }: Message['properties']): number {
  const redrives = headers?.[REDRIVES_HEADER]
  // Nearly all messages have no such header, and `catch` would create an error for each of them.
  return redrives === undefined ? 0 : redrivesHeader.parse(redrives)
}
