// Pure decisions: from what happened to a message, what is to be done with it. No channel, no clock.
import { hash } from 'node:crypto'
import type { Message } from 'amqplib'
import type { Contract } from './contract.ts'
import { deadLetterQueue } from './contract.ts'
import type { Delivery, Outcome } from './handler.ts'
import { parseJson } from './json.ts'
import type { Envelope } from './publisher.ts'
import { DIRECT_REPLY_TO, ERROR_HEADER, isReplyAddress } from './reply.ts'

/** `attempts`: how often the handler was tried on this delivery; once when left out. */
export type Refused = Extract<Outcome, { kind: 'refused' }> & { readonly attempts?: number }

const refused = (reason: string, error: string): Refused => ({ kind: 'refused', reason, error })

/** Reads a message by its contract: a delivery for the handler, or the reason why it can never be one. */
export function readMessage<Body>(
  contract: Contract<Body>,
  { content, fields, properties }: Message,
  mostBytes: number,
): Delivery<Body> | Refused {
  if (content.length > mostBytes) return refused('too-large', `${content.length} bytes, at most ${mostBytes} are read`)
  const parsed = parseJson(content)
  if (!parsed.ok) return refused('not-json', parsed.error)
  const { data, error } = contract.body.safeParse(parsed.value)
  if (error) {
    const problems = error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`)
    return refused('invalid', problems.join('; '))
  }
  return {
    body: data,
    messageId:
      typeof properties.messageId === 'string' && properties.messageId !== '' ? properties.messageId : undefined,
    redelivered: fields.redelivered,
    fingerprint: hash('sha256', content, 'hex').slice(0, 32),
    headers: properties.headers ?? {},
  }
}

/**
 * What a failed attempt asks for. `hold`: the world is bad, keep the messages and try again until it is better.
 * `isolate`: one of several messages may be the cause, try them one by one. `again`: a message alone failed, but may
 * have had bad luck. Otherwise the message is refused.
 */
export function afterFailure(
  error: unknown,
  messages: number,
  attempt: number,
  attemptsMost: number,
): 'hold' | 'isolate' | 'again' | Refused {
  if (error instanceof Error && 'transient' in error && error.transient === true) return 'hold'
  if (messages > 1) return 'isolate'
  if (attempt < attemptsMost) return 'again'
  const why = error instanceof Error ? error.message : String(error)
  return { ...refused('handler-failed', `failed ${attempt} times, last with: ${why}`), attempts: attempt }
}

/** Where a dead letter comes from and when, besides its reason. */
export interface Failure {
  readonly consumer: string
  readonly at: Date
}

/**
 * The dead letter of a refused message: the same bytes and properties, plus `x-reason`, `x-error`, `x-failed-at` (ISO
 * 8601), `x-consumer` and `x-attempts`. It keeps its messageId, so that a redrive is recognised.
 */
export function deadLetter(
  contract: Contract,
  message: Message,
  { reason, error, attempts = 1 }: Refused,
  failure: Failure,
): Envelope {
  const { properties } = message
  // An expiration would let the dead letter vanish; the user id is checked against our own login by the broker.
  const { expiration, userId, clusterId, ...kept } = present(properties)
  return {
    queue: deadLetterQueue(contract.queue),
    content: message.content,
    properties: {
      ...kept,
      persistent: true,
      headers: {
        ...properties.headers,
        'x-reason': reason,
        'x-error': shortened(error),
        'x-failed-at': failure.at.toISOString(),
        'x-consumer': failure.consumer,
        'x-attempts': deliveriesBefore(message) + attempts,
      },
    },
  }
}

/** Quorum queues count them (https://www.rabbitmq.com/docs/quorum-queues); others only tell that there was one. */
function deliveriesBefore({ fields, properties }: Message): number {
  const counted: unknown = properties.headers?.['x-delivery-count']
  return typeof counted === 'number' && counted > 0 ? counted : Number(fields.redelivered)
}

/** Header values travel in one frame with all other properties (128 KiB): a very long explanation is cut. */
const shortened = (text: string): string => (text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text)

/** The reply to a message whose sender wants one and gave a proper address; undefined otherwise. */
export function replyTo(message: Message, outcome: Outcome): Envelope | undefined {
  const { replyTo: address, correlationId } = message.properties
  if (!isReplyAddress(address)) return undefined
  // The broker returns every mandatory message to a direct reply-to address as unroutable, also those it delivers.
  const mandatory = !address.startsWith(DIRECT_REPLY_TO)
  const properties = { persistent: false, mandatory, ...(typeof correlationId === 'string' ? { correlationId } : {}) }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  switch (outcome.kind) {
    case 'answered':
      return { queue: address, content: outcome.body, properties: { ...properties, headers: outcome.headers } }
    case 'applied':
      return { queue: address, content: json(outcome.result), properties }
    case 'refused':
      return {
        queue: address,
        content: json({ error: outcome.error }),
        properties: { ...properties, headers: { [ERROR_HEADER]: outcome.reason } },
      }
  }
}

function present(properties: Message['properties']): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}
