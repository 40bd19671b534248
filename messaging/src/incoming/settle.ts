// Pure decisions: from what happened to a message, what is to be done with it. No channel, no clock.
import { hash } from 'node:crypto'
import type { Message } from 'amqplib'
import { z } from 'zod'
import type { Contract } from '../contract.ts'
import { deadLetterQueue } from '../contract.ts'
import type { Delivery, Outcome } from '../handler.ts'
import { parseJson } from '../json.ts'
import type { Envelope } from '../outgoing/publisher.ts'
import { DIRECT_REPLY_TO, ERROR_HEADER, isReplyAddress } from '../outgoing/reply.ts'
import { bytesOfValue, carried, headerRoom } from './carried.ts'

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

/** What is wrong with what travels beside the body, in a sentence that names it. */
function faultOfProperties(
  { kind }: Contract,
  { messageId, replyTo, headers }: Message['properties'],
): string | undefined {
  // amqplib puts this character for bytes that are no UTF-8: two such ids may look the same and not be.
  if (typeof messageId === 'string' && messageId.includes('\ufffd')) return 'messageId: must be valid UTF-8'
  // A table in a header of this name becomes the prototype of the headers, where it is read as if it were they.
  if (headers !== undefined && Object.getPrototypeOf(headers) !== Object.prototype)
    return 'header __proto__: no header may have this name'
  // A command is carried out all the same, as the Python suite does, and not replied to; a query has no other effect.
  if (kind === 'query' && replyTo !== undefined && !isReplyAddress(replyTo))
    return `replyTo: ${JSON.stringify(replyTo)} is neither an address of direct reply-to nor a queue that the broker named`
  return undefined
}

/** Where a dead letter comes from and when, besides its reason. */
export interface Failure {
  readonly consumer: string
  readonly at: Date
  /** The largest frame that the broker takes: all properties of the dead letter must fit into one. */
  readonly frameMax: number
}

/**
 * The dead letter of a refused message: the same bytes and properties, plus `x-reason`, `x-error`, `x-failed-at` (ISO
 * 8601), `x-consumer`, `x-attempts` and `x-redrives`. It keeps its messageId, so that a redrive is recognised. What of its properties
 * cannot be written again, or would route it elsewhere, is left out and named in `x-dropped`.
 */
export function deadLetter(
  contract: Contract,
  message: Message,
  { reason, error, attempts = 1 }: Refused,
  failure: Failure,
): Envelope {
  const room = headerRoom(failure.frameMax)
  const ours = {
    'x-reason': reason,
    'x-error': legible(error, room / 4),
    'x-failed-at': failure.at.toISOString(),
    'x-consumer': failure.consumer,
    'x-attempts': deliveriesBefore(message) + attempts,
    // Counted here and not by whoever puts it back, so that one that is moved by other means is judged anew as well.
    [REDRIVES_HEADER]: Math.min(redrivesOf(message.properties) + 1, REDRIVES_MAX),
  }
  const left = room - room / 8 - bytesOfValue({ ...ours, 'x-dropped': '…' }, 1)
  const { properties, headers, dropped } = carried(message.properties, left)
  return {
    queue: deadLetterQueue(contract.queue),
    content: message.content,
    properties: {
      ...properties,
      persistent: true,
      headers: {
        ...headers,
        ...ours,
        ...(dropped.length === 0 ? {} : { 'x-dropped': legible(dropped.join(', '), room / 8) }),
      },
    },
  }
}

/** Quorum queues count them (https://www.rabbitmq.com/docs/quorum-queues); others only tell that there was one. */
function deliveriesBefore({ fields, properties }: Message): number {
  const counted: unknown = properties.headers?.['x-delivery-count']
  // On a classic queue the header is whatever the sender wrote.
  return typeof counted === 'number' && Number.isSafeInteger(counted) && counted > 0
    ? counted
    : Number(fields.redelivered)
}

const REDRIVES_HEADER = 'x-redrives'
/** Each redrive is a key of its own in the inbox, and all of them are looked up. */
const REDRIVES_MAX = 100
const redrivesHeader = z.int().min(0).max(REDRIVES_MAX).catch(0)

/** How often a message has been among the dead letters; 0 when the header is missing or says anything else. */
const redrivesOf = ({ headers }: Message['properties']): number => redrivesHeader.parse(headers?.[REDRIVES_HEADER])

const LEGIBLE_MOST = 2_000
/** Each character may become six. */
const LEGIBLE_MOST_BYTES = 6 * LEGIBLE_MOST
/** Characters that move the cursor or begin a line where a person reads the text. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu

/** An explanation quotes what it is about: made one line, and cut when it is very long or takes more than `maxBytes`. */
export function legible(text: string, maxBytes = LEGIBLE_MOST_BYTES): string {
  const cut = text.slice(0, LEGIBLE_MOST)
  const line = cut.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const { read } = new TextEncoder().encodeInto(line, new Uint8Array(Math.min(maxBytes, LEGIBLE_MOST_BYTES)))
  return read < line.length || cut.length < text.length ? `${line.slice(0, read)}…` : line
}

/**
 * The reply to a message whose sender asked for one at a valid address; undefined otherwise. The reply to a refused query is
 * not JSON, because a Python producer passes it on with status 200 and a client could take an object for a list.
 */
export function replyTo({ kind }: Contract, message: Message, outcome: Outcome): Envelope | undefined {
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
        content: kind === 'query' ? Buffer.from(`error: ${outcome.error}`) : json({ error: outcome.error }),
        properties: { ...properties, headers: { [ERROR_HEADER]: outcome.reason } },
      }
  }
}
