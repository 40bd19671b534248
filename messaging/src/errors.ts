// Errors of messaging, named by their consequence for whoever asked: not accepted, not known, no answer, or misconfigured.

/**
 * `unroutable` (no such queue) · `blocked` (alarm) · `over-limit` (too many unconfirmed) · `disconnected` · `unwritable` (a
 * property that AMQP cannot carry: no retry helps)
 */
export const NOT_ACCEPTED_REASONS = ['unroutable', 'blocked', 'over-limit', 'disconnected', 'unwritable'] as const

/** The broker did not take the message: it was not stored, and sending it again is safe. */
export class NotAccepted extends Error {
  override readonly name = 'NotAccepted'
  readonly reason: (typeof NOT_ACCEPTED_REASONS)[number]
  constructor(cause: NotAccepted['reason'], message: string) {
    super(message)
    this.reason = cause
  }
}

/**
 * Nobody can tell whether the broker stored the message: no confirm came in time, the connection was lost before it, or
 * the broker rejected the message (nack): a queue whose process crashes rejects messages that it has already stored.
 */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown'
}

/** The request was sent, but no answer came before its deadline. */
export class NoReply extends Error {
  override readonly name = 'NoReply'
}

/** The answer came and says that the request failed, or it does not have the agreed shape. */
export class BadReply extends Error {
  override readonly name = 'BadReply'
}

/** What is on the broker differs from what we declare, and no retry will change that: an operator must. */
export class Misconfigured extends Error {
  override readonly name = 'Misconfigured'
}

export const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))
