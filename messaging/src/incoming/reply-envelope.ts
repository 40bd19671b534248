// Builds the reply that reports the outcome of a message.
import type { Message } from 'amqplib'
import type { Contract } from '../contract.ts'
import type { Outcome } from '../handler.ts'
import type { Envelope } from '../outgoing/publisher.ts'
import { DIRECT_REPLY_TO, ERROR_HEADER, isReplyAddress, REPEATED_HEADER } from '../outgoing/reply.ts'

/**
 * The reply to a message whose sender requested one at a valid address. Undefined otherwise. The reply to a refused
 * query is not JSON: a Python producer forwards it with status 200, and a client could read a JSON object as the list.
 */
export function replyTo({ kind }: Contract, message: Message, outcome: Outcome): Envelope | undefined {
  const { replyTo: address, correlationId } = message.properties
  if (!isReplyAddress(address)) return undefined
  // Not mandatory for direct reply-to, because the broker returns every such message as unroutable, even if it delivers it.
  const mandatory = !address.startsWith(DIRECT_REPLY_TO)
  const properties = { persistent: false, mandatory, ...(typeof correlationId === 'string' ? { correlationId } : {}) }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  switch (outcome.kind) {
    case 'answered':
      return { queue: address, content: outcome.body, properties: { ...properties, headers: outcome.headers } }
    case 'applied':
      return {
        queue: address,
        content: json(outcome.result),
        properties: outcome.repeated ? { ...properties, headers: { [REPEATED_HEADER]: true } } : properties,
      }
    case 'refused':
      return {
        queue: address,
        content: kind === 'query' ? Buffer.from(`error: ${outcome.error}`) : json({ error: outcome.error }),
        properties: { ...properties, headers: { [ERROR_HEADER]: outcome.reason } },
      }
  }
}
