// The format of replies: JSON on success. On failure the header `x-error` has the reason, and the body an explanation:
// JSON for a command, text for a query.
import { z } from 'zod'

/**
 * RabbitMQ's pseudo queue: replies go directly to the channel that sent the request
 * (https://www.rabbitmq.com/docs/direct-reply-to).
 */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

/** Header of an error reply: the reason, the same as in dead letters. */
export const ERROR_HEADER = 'x-error'

/** Header of the reply to a command that was applied before this delivery of it. Its value is true. */
export const REPEATED_HEADER = 'x-repeated'

/**
 * Header of a request whose sender acknowledges a refusal with `refusalHeard`, sent to the refusal's own reply address.
 * A refusal that the sender received needs no dead letter.
 */
export const HEARS_REFUSALS_HEADER = 'x-hears-refusals'

/** Whether the refusal reached the requester, or came when it no longer waited. */
export const refusalHeard = z.object({ heard: z.boolean() })

/** Body of the error reply to a command. */
export const refusalBody = z.object({ error: z.string() })

/**
 * Valid reply addresses: the broker's own reply addresses, and server-named queues of an exclusive owner. With any
 * other name a requester could make a consumer publish to somebody's queue.
 */
export function isReplyAddress(replyTo: unknown): replyTo is string {
  return typeof replyTo === 'string' && /^amq\.(rabbitmq\.reply-to\.|gen-)/.test(replyTo)
}
