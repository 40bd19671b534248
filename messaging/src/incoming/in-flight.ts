// The messages in flight, from arrival until they are acknowledged or requeued. Only `leave` acknowledges and requeues.
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { Delivery } from '../handler.ts'
import type { Meter } from '../service.ts'
import type { Refused } from './read-message.ts'

/** An open channel. A message is acknowledged on the channel that delivered it. When the channel ends, the broker requeues its messages. */
export interface Session {
  readonly channel: ConfirmChannel
  readonly over: AbortController
  /** Chosen by us, because they are needed before the broker responds. Empty while the queue is not consumed. */
  consumerTags: string[]
}

/**
 * A message in flight. `waiting`: not yet in a batch · `handling`: passed to the handler · `reporting`: its outcome is known,
 * and its dead letter or reply is being sent.
 */
export interface Held<Body = unknown> {
  readonly message: ConsumeMessage
  readonly session: Session
  readonly read: Delivery<Body> | Refused
  /** Queries with the same value may share one call of the handler. Undefined for a query that is never combined with others. */
  readonly question: string | undefined
  /** A large query. Only one large query is handled at a time. Other queries may run at the same time. */
  readonly isLarge: boolean
  /** When the requester stops waiting for the reply (`Clock.nowMs`). Infinity if unknown. */
  readonly expiresAtMs: number
  step: 'waiting' | 'handling' | 'reporting'
  /** The size of its reply while the reply is in memory, in bytes. */
  replyBytes: number
}

/** A message that can be passed to the handler. */
export type Readable<Body> = Held<Body> & { readonly read: Delivery<Body> }

export class InFlight<Body> {
  /** All messages, in the order of arrival. Counts and sums are computed from this set. */
  readonly #all = new Set<Held<Body>>()
  readonly #queue: string
  readonly #meter: Meter
  readonly #left: () => void
  /** A running total, because a sum over thousands of messages at each arrival would be too slow. */
  #bytes = 0

  /** `left` is called after messages were acknowledged or requeued. */
  constructor(queue: string, meter: Meter, left: () => void) {
    this.#queue = queue
    this.#meter = meter
    this.#left = left
  }

  add(held: Held<Body>): void {
    this.#all.add(held)
    this.#bytes += held.message.content.length
  }

  /** The number of messages in flight: neither acknowledged nor requeued. */
  get size(): number {
    return this.#all.size
  }

  /** The size of the bodies in flight, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  #delete(held: Held<Body>): boolean {
    const isInFlight = this.#all.delete(held)
    if (isInFlight) this.#bytes -= held.message.content.length
    return isInFlight
  }

  /** Bytes of replies that are not sent or not confirmed yet. */
  get replyBytes(): number {
    let bytes = 0
    for (const held of this.#all) bytes += held.replyBytes
    return bytes
  }

  /** The oldest waiting messages, up to `max`. All are of one session, because the messages of a closed channel are removed. */
  waiting(max: number): Held<Body>[] {
    const waiting: Held<Body>[] = []
    for (const held of this.#all) {
      if (waiting.length >= max) break
      if (held.step === 'waiting') waiting.push(held)
    }
    return waiting
  }

  /** The oldest query that may be handled now, and the others with the same question, up to `max` in total. */
  waitingAlike(max: number): Held<Body>[] {
    const isLargeOneHandled = [...this.#all].some(({ step, isLarge }) => isLarge && step === 'handling')
    const waiting = this.waiting(Number.POSITIVE_INFINITY)
    const [first, ...others] = isLargeOneHandled ? waiting.filter(({ isLarge }) => !isLarge) : waiting
    if (first === undefined) return []
    return [first, ...others.filter(({ question }) => question !== undefined && question === first.question)].slice(
      0,
      max,
    )
  }

  /** The messages whose outcome is not known yet. */
  unreported(): Held<Body>[] {
    return [...this.#all].filter(({ step }) => step !== 'reporting')
  }

  /** Removes the waiting messages of a closed channel. Messages that are being handled or reported are removed when that ends. */
  sessionOver(session: Session): void {
    session.over.abort()
    for (const held of this.#all) if (held.session === session && held.step === 'waiting') this.#delete(held)
    this.#left()
  }

  /**
   * Acknowledges or requeues messages, each only once. No other code does this. Requeues with nack, because RabbitMQ 4.3
   * counts a reject toward the delivery limit, but not a nack, and the message did not fail
   * (https://www.rabbitmq.com/docs/quorum-queues).
   */
  leave(exit: 'ack' | 'requeue', wanted: readonly Held<Body>[]): void {
    const upToLast = exit === 'ack' && this.#areAllUpTo(wanted)
    const leaving = wanted.filter((held) => this.#delete(held))
    const last = leaving.at(-1)
    if (last === undefined) return
    for (const { message, session } of upToLast ? [last] : leaving) {
      const { channel } = session
      this.#onChannel(session, () =>
        exit === 'ack' ? channel.ack(message, upToLast) : channel.nack(message, false, true),
      )
    }
    this.#left()
  }

  /** Whether `leaving` contains every message up to its last one, so that one ack is enough. */
  #areAllUpTo(leaving: readonly Held<Body>[]): boolean {
    const last = leaving.at(-1)
    let count = 0
    for (const held of this.#all) {
      if (held.session === last?.session) count += 1
      if (held === last) break
    }
    return count === leaving.length
  }

  /** Settles a message on its channel. If the channel is closed, only counts this, and the broker redelivers the message. */
  #onChannel(session: Session, settle: () => void): void {
    try {
      if (session.over.signal.aborted) throw new Error('the channel is gone')
      settle() // amqplib throws between the start of a channel's closing and its close event
    } catch {
      this.#meter.count('stale_acks_dropped', { queue: this.#queue })
    }
  }
}
