// The messages in hand, from their arrival until they leave: one object for each, one set, one way out.
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { Delivery } from '../handler.ts'
import type { Meter } from '../service.ts'
import type { Refused } from './read-message.ts'

/** One life of the channel. Acks belong to the channel their message came from: with its end, its messages are the broker's again. */
export interface Session {
  readonly channel: ConfirmChannel
  readonly over: AbortController
  /** Ours, so that they are known before the broker answers; none while the queue is not consumed. */
  consumerTags: string[]
}

/**
 * A message in hand. `waiting`: for the batch in hand to end · `judging`: the handler has it · `telling`: it is judged, and its
 * dead letter or reply is under way.
 */
export interface Held<Body = unknown> {
  readonly message: ConsumeMessage
  readonly session: Session
  readonly read: Delivery<Body> | Refused
  /** What is asked, so that equal questions have equal texts; undefined for one that is answered by itself in any case. */
  readonly question: string | undefined
  /** When nobody waits for the reply any more, by the clock. */
  readonly expiresAtMs: number
  step: 'waiting' | 'judging' | 'telling'
  /** Bytes of the reply that is kept for it. */
  replyBytes: number
}

/** One that the handler can be given. */
export type Readable<Body> = Held<Body> & { readonly read: Delivery<Body> }

export class InHand<Body> {
  /** In the order of arrival. Whatever is said of messages is computed from this. */
  readonly #all = new Set<Held<Body>>()
  readonly #queue: string
  readonly #meter: Meter
  readonly #left: () => void
  /** A sum over thousands for each arrival would cost more than all else: kept beside the set, by the two that change it. */
  #bytes = 0

  /** `left` is called after messages have left. */
  constructor(queue: string, meter: Meter, left: () => void) {
    this.#queue = queue
    this.#meter = meter
    this.#left = left
  }

  add(held: Omit<Held<Body>, 'step' | 'replyBytes'>): void {
    this.#all.add({ ...held, step: 'waiting', replyBytes: 0 })
    this.#bytes += held.message.content.length
  }

  /** Messages in hand: all that the broker has not got back, and that are not acked. */
  get size(): number {
    return this.#all.size
  }

  /** Bytes of the bodies in hand. */
  get bytes(): number {
    return this.#bytes
  }

  #delete(held: Held<Body>): boolean {
    const isInHand = this.#all.delete(held)
    if (isInHand) this.#bytes -= held.message.content.length
    return isInHand
  }

  /** Bytes of replies that are not sent yet, or not confirmed. */
  get replyBytes(): number {
    let bytes = 0
    for (const held of this.#all) bytes += held.replyBytes
    return bytes
  }

  /** The oldest that wait, up to `most`. Those of a channel that is gone left with it, so all are of one session. */
  waiting(most: number): Held<Body>[] {
    const waiting: Held<Body>[] = []
    for (const held of this.#all) {
      if (waiting.length >= most) break
      if (held.step === 'waiting') waiting.push(held)
    }
    return waiting
  }

  /** The oldest that waits, and those that ask the same, up to `most`. */
  waitingAlike(most: number): Held<Body>[] {
    const [first, ...others] = this.waiting(Number.POSITIVE_INFINITY)
    if (first === undefined) return []
    return [first, ...others.filter(({ question }) => question !== undefined && question === first.question)].slice(
      0,
      most,
    )
  }

  /** Those of which nothing was told yet. */
  untold(): Held<Body>[] {
    return [...this.#all].filter(({ step }) => step !== 'telling')
  }

  /** The channel is gone, and what waited went with it; what is being judged or told of leaves when that ends. */
  sessionOver(session: Session): void {
    session.over.abort()
    for (const held of this.#all) if (held.session === session && held.step === 'waiting') this.#delete(held)
    this.#left()
  }

  /**
   * The one way out, for each message once: acked, or given back. Given back with nack, since this is no failure of the
   * message: RabbitMQ 4.3 counts a reject toward the delivery limit, but not a nack
   * (https://www.rabbitmq.com/docs/quorum-queues).
   */
  leave(exit: 'ack' | 'give back', wanted: readonly Held<Body>[]): void {
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

  /** Whether nothing that arrived before the last of these stays in hand, so that one ack does for all. */
  #areAllUpTo(leaving: readonly Held<Body>[]): boolean {
    const last = leaving.at(-1)
    let count = 0
    for (const held of this.#all) {
      if (held.session === last?.session) count += 1
      if (held === last) break
    }
    return count === leaving.length
  }

  /** A stale ack, of a message whose channel is gone, is dropped and counted: the broker delivers the message again. */
  #onChannel(session: Session, settle: () => void): void {
    try {
      if (session.over.signal.aborted) throw new Error('the channel is gone')
      settle() // amqplib throws when the channel began to close and its close event is yet to come
    } catch {
      this.#meter.count('stale_acks_dropped', { queue: this.#queue })
    }
  }
}
