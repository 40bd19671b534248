// Builds the dead letter of a refused message: the same bytes, and headers that say why, when and by which consumer.
import type { Message } from 'amqplib'
import { type Contract, deadLetterQueue } from '../contract.ts'
import { legible } from '../legible.ts'
import type { Envelope } from '../outgoing/publisher.ts'
import { bytesOfValue, carried, headerRoom, usableId } from './carried.ts'
import { REDRIVES_HEADER, REDRIVES_MAX, type Refused, redrivesOf } from './read-message.ts'

/** Which consumer dead-letters a message, and when. */
export interface Failure {
  readonly consumer: string
  readonly at: Date
  /** The largest frame that the broker accepts. All properties of the dead letter must fit into one. */
  readonly frameMax: number
  /** A new UUID. Each attempt to publish the dead letter uses the same one. */
  readonly letterId: string
}

/** Header of the dead letter of a message without an id. Without it, equal messages that are refused in the same millisecond would count as one. */
export const LETTER_ID_HEADER = 'x-letter-id'

/**
 * The dead letter of a refused message: the same bytes and properties, plus `x-reason`, `x-error`, `x-failed-at` (ISO
 * 8601), `x-consumer`, `x-attempts` and `x-redrives`. It keeps its messageId, because the consumer needs the id to
 * recognise a duplicate. If the message has no id, `x-letter-id` identifies the dead letter.
 * Properties that cannot be encoded again, or would route it elsewhere, are left out and named in `x-dropped`.
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
    // Counted here and not by the redrive, because another tool may move the message back.
    [REDRIVES_HEADER]: Math.min(redrivesOf(message.properties) + 1, REDRIVES_MAX),
    ...(usableId(message.properties) === undefined && { [LETTER_ID_HEADER]: failure.letterId }),
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

/** Quorum queues count earlier deliveries (https://www.rabbitmq.com/docs/quorum-queues). Other queues only report whether there was one. */
function deliveriesBefore({ fields, properties }: Message): number {
  const counted: unknown = properties.headers?.['x-delivery-count']
  // On a classic queue the header comes from the sender and may have any value.
  return typeof counted === 'number' && Number.isSafeInteger(counted) && counted > 0
    ? counted
    : Number(fields.redelivered)
}
