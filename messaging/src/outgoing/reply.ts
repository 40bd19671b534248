// The form of replies: JSON on success; on failure the header `x-error` with the reason, and an explanation as the body: JSON for a command, text for a query.
import { z } from 'zod'

/** RabbitMQ's pseudo queue: replies come straight to the channel that asked (https://www.rabbitmq.com/docs/direct-reply-to). */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

/** Header of an error reply: the reason, one of those of dead letters. */
export const ERROR_HEADER = 'x-error'

/**
 * Header of a request whose sender answers a refusal with `refusalHeard`, at the refusal's own reply address: what the
 * sender heard of needs no dead letter.
 */
export const HEARS_REFUSALS_HEADER = 'x-hears-refusals'

/** Whether the refusal reached whoever asked, or came when nobody waited for it any more. */
export const refusalHeard = z.object({ heard: z.boolean() })

/** Body of the error reply to a command. */
export const refusalBody = z.object({ error: z.string() })

/**
 * Names that a reply may be sent to: the broker's own reply addresses, and queues it named for their exclusive owner. Any
 * other name would let a requester make a consumer publish into somebody's queue.
 */
export function isReplyAddress(replyTo: unknown): replyTo is string {
  return typeof replyTo === 'string' && /^amq\.(rabbitmq\.reply-to\.|gen-)/.test(replyTo)
}
