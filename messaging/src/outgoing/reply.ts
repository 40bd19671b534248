// The format of replies: JSON on success. On failure the header `x-error` has the reason, and the body an explanation:
// JSON for a command, text for a query.
import { z } from 'zod'

/**
 * RabbitMQ's pseudo queue: replies go directly to the channel that sent the request
 * (https://www.rabbitmq.com/docs/direct-reply-to).
 */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

/** Header of an error reply, with the reason. A dead letter has the reason in `x-reason` and an explanation in `x-error`. */
export const ERROR_HEADER = 'x-error'

/** Header of the reply to a command that an earlier delivery has applied. Its value is true. */
export const REPEATED_HEADER = 'x-repeated'

/**
 * Header of a request whose sender acknowledges a refusal with `refusalHeard`, sent to the refusal's own reply address.
 * A refusal that the sender received needs no dead letter.
 */
export const HEARS_REFUSALS_HEADER = 'x-hears-refusals'

/** The body of the acknowledgement. `heard` is false if the requester no longer waited for the reply. */
export const refusalHeard = z.object({ heard: z.boolean() })

/** Body of the error reply to a command. */
export const refusalBody = z.object({ error: z.string() })

/**
 * Whether `replyTo` is a valid reply address: a direct reply-to address, or a queue that the broker named. With any other
 * name a requester could make a consumer publish to an unrelated queue.
 */
export function isReplyAddress(replyTo: unknown): replyTo is string {
  return typeof replyTo === 'string' && /^amq\.(rabbitmq\.reply-to\.|gen-)/.test(replyTo)
}
