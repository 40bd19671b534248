// What a service implements: a handler takes a batch of messages and returns one outcome for each. It never sees a channel.

/** One message, parsed. */
export interface Delivery<Body = unknown> {
  readonly body: Body
  /** The sender's id for it, if any. Python peers send none. */
  readonly messageId: string | undefined
  /** True when it may have been handled before: by another consumer, or by a failed attempt of ours. */
  readonly redelivered: boolean
  /** How often it was redriven. */
  readonly redrives: number
  /** Hash of the body's bytes (hex). Distinguishes different messages with the same id. */
  readonly fingerprint: string
  readonly headers: Readonly<Record<string, unknown>>
}

export type Outcome<Result = unknown> =
  /** The effect is durable. `repeated`: it already was, after an earlier delivery; `result` is the result of that time. */
  | { readonly kind: 'applied'; readonly result: Result; readonly repeated: boolean }
  /** A query's answer, as the bytes of the reply. Several outcomes may share one buffer. */
  | { readonly kind: 'answered'; readonly body: Buffer; readonly headers: Readonly<Record<string, string | number>> }
  /** The message is bad and always will be. It is dead-lettered with this reason. */
  | { readonly kind: 'refused'; readonly reason: string; readonly error: string }

/**
 * Returns one outcome for each delivery, in order. An exception means that the outcome is unknown. If its member
 * `transient` is true (the database is down), the messages are retried until the dependency is up; after any other
 * error, the bad message is searched for.
 */
export type Handler<Body = unknown, Result = unknown> = (
  deliveries: readonly Delivery<Body>[],
) => Promise<readonly Outcome<Result>[]>
