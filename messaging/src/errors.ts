// Errors of messaging, named by their meaning for the caller: not accepted, outcome unknown, no reply, bad reply, or misconfigured.

/**
 * `unroutable` (no such queue) · `blocked` (alarm) · `over-limit` (too many unconfirmed messages, or slow confirms) · `disconnected` ·
 * `unwritable` (a property that AMQP cannot encode, so no retry helps)
 */
export const NOT_ACCEPTED_REASONS = ['unroutable', 'blocked', 'over-limit', 'disconnected', 'unwritable'] as const

/** The broker did not accept the message. It was not stored, and sending it again is safe. */
export class NotAccepted extends Error {
  override readonly name = 'NotAccepted'
  readonly reason: (typeof NOT_ACCEPTED_REASONS)[number]
  constructor(cause: NotAccepted['reason'], message: string) {
    super(message)
    this.reason = cause
  }
}

/**
 * It is unknown whether the broker stored the message: no confirm came in time, the connection was lost before it, or
 * the broker rejected the message (nack). If the process of a queue crashes, the broker also rejects messages that
 * the queue has stored.
 */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown'
}

/** The request was sent, but no reply came before its deadline. */
export class NoReply extends Error {
  override readonly name = 'NoReply'
}

/** The reply reports that the request failed, or does not match the contract. */
export class BadReply extends Error {
  override readonly name = 'BadReply'
}

/**
 * The broker's configuration does not fit: a queue differs from our declaration, a permission is missing, or channel_max is
 * too low. Retries do not help; an operator has to change it.
 */
export class Misconfigured extends Error {
  override readonly name = 'Misconfigured'
}

export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))
