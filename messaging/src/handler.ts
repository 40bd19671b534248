// What a service writes: a handler, which takes the messages at hand and returns one outcome for each. It never sees a channel.

/** One message, parsed. */
export interface Delivery<Body = unknown> {
  readonly body: Body
  /** The sender's id for it, if it gave one: Python peers do not. */
  readonly messageId: string | undefined
  /** True when it may have been handled before: by another consumer, or by an attempt of ours that failed. */
  readonly redelivered: boolean
  /** How often it was put back from the dead letters. */
  readonly redrives: number
  /** Hash of the body's bytes (hex): tells one message from another that carries the same id. */
  readonly fingerprint: string
  readonly headers: Readonly<Record<string, unknown>>
}

export type Outcome<Result = unknown> =
  /** Its effect is durable. `repeated`: it was already, by an earlier delivery; `result` is what happened then. */
  | { readonly kind: 'applied'; readonly result: Result; readonly repeated: boolean }
  /** A query's answer, as the bytes of the reply; many outcomes may share one buffer. */
  | { readonly kind: 'answered'; readonly body: Buffer; readonly headers: Readonly<Record<string, string | number>> }
  /** The message is bad and always will be: it goes to the dead letters with this reason. */
  | { readonly kind: 'refused'; readonly reason: string; readonly error: string }

/**
 * Returns one outcome for each delivery, in their order. To throw means "could not tell": an error whose member
 * `transient` is true (the database is away) holds the messages until the world is better; any other isolates the
 * message that causes it.
 */
export type Handler<Body = unknown, Result = unknown> = (
  deliveries: readonly Delivery<Body>[],
) => Promise<readonly Outcome<Result>[]>
