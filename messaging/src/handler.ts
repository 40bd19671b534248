// What a service implements: a handler takes a batch of messages and returns one outcome for each. It has no access to the AMQP channel.

/** One message, parsed. */
export interface Delivery<Body = unknown> {
  readonly body: Body
  /** The sender's id for it, if any. Python peers send none. */
  readonly messageId: string | undefined
  /** True if it may have been handled before: by another consumer, or in a failed attempt of this one. */
  readonly redelivered: boolean
  /** How often it was redriven. */
  readonly redrives: number
  /** Hash of the body's bytes (hex). Distinguishes different messages with the same id. */
  readonly fingerprint: string
  readonly headers: Readonly<Record<string, unknown>>
}

export type Outcome<Result = unknown> =
  /** The effect is durable. `repeated`: an earlier delivery was applied, and `result` is its result. */
  | { readonly kind: 'applied'; readonly result: Result; readonly repeated: boolean }
  /** The body of the reply to a query. Several outcomes may share one buffer. */
  | { readonly kind: 'answered'; readonly body: Buffer; readonly headers: Readonly<Record<string, string | number>> }
  /** The message is invalid, and retries do not help. It is dead-lettered with this reason. */
  | { readonly kind: 'refused'; readonly reason: string; readonly error: string }

/**
 * Returns one outcome for each delivery, in order. An exception means that the outcome is unknown. If its property
 * `transient` is true (the database is down), the messages are retried until the dependency is up. After any other
 * error, the messages are retried in smaller parts to find the bad one.
 */
export type Handler<Body = unknown, Result = unknown> = (
  deliveries: readonly Delivery<Body>[],
) => Promise<readonly Outcome<Result>[]>
