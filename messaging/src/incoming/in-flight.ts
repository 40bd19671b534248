// The messages in flight, from arrival until they are acknowledged or requeued: one object each, in one set, with one exit.
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { Delivery } from '../handler.ts'
import type { Meter } from '../service.ts'
import type { Refused } from './read-message.ts'

/** One life of the channel. Acks belong to the channel that delivered the message. When it ends, its messages return to the broker. */
export interface Session {
  readonly channel: ConfirmChannel
  readonly over: AbortController
  /** Chosen by us, so that the tags are known before the broker responds. None while the queue is not consumed. */
  consumerTags: string[]
}

/**
 * A message in flight. `waiting`: for the current batch to end · `handling`: the handler has it · `reporting`: its outcome
 * is known, and its dead letter or reply is being sent.
 */
export interface Held<Body = unknown> {
  readonly message: ConsumeMessage
  readonly session: Session
  readonly read: Delivery<Body> | Refused
  /** The question; equal questions have equal texts. Undefined for a query that is never combined with others. */
  readonly question: string | undefined
  /** A query that is answered by itself, while smaller ones are answered too. */
  readonly isLarge: boolean
  /** When the requester stops waiting for the reply, by the clock. */
  readonly expiresAtMs: number
  step: 'waiting' | 'handling' | 'reporting'
  /** Bytes of the reply that is kept for it. */
  replyBytes: number
}

/** One that can be passed to the handler. */
export type Readable<Body> = Held<Body> & { readonly read: Delivery<Body> }

export class InFlight<Body> {
  /** In the order of arrival. All figures about messages derive from this. */
  readonly #all = new Set<Held<Body>>()
  readonly #queue: string
  readonly #meter: Meter
  readonly #left: () => void
  /** A sum over thousands of messages at each arrival would be too slow, so a running total is kept. */
  #bytes = 0

  /** `left` is called after messages have left. */
  constructor(queue: string, meter: Meter, left: () => void) {
    this.#queue = queue
    this.#meter = meter
    this.#left = left
  }

  add(held: Held<Body>): void {
    this.#all.add(held)
    this.#bytes += held.message.content.length
  }

  /** Messages in flight: neither acknowledged nor returned to the broker. */
  get size(): number {
    return this.#all.size
  }

  /** Bytes of the bodies in flight. */
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

  /** The oldest waiting ones, up to `max`. Messages of a closed channel have left, so all are of one session. */
  waiting(max: number): Held<Body>[] {
    const waiting: Held<Body>[] = []
    for (const held of this.#all) {
      if (waiting.length >= max) break
      if (held.step === 'waiting') waiting.push(held)
    }
    return waiting
  }

  /** The oldest one that may be answered now, and those with the same question, up to `max`. */
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

  /** Those without a reported outcome. */
  unreported(): Held<Body>[] {
    return [...this.#all].filter(({ step }) => step !== 'reporting')
  }

  /** The channel is gone, and so are its waiting messages. Those whose outcome is being determined or reported leave when that ends. */
  sessionOver(session: Session): void {
    session.over.abort()
    for (const held of this.#all) if (held.session === session && held.step === 'waiting') this.#delete(held)
    this.#left()
  }

  /**
   * The only exit, once for each message: acknowledged or requeued. Requeued with nack, because the message did not
   * fail: RabbitMQ 4.3 counts a reject toward the delivery limit, but not a nack
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

  /** Whether no message that arrived before the last of these stays in flight, so that one ack is enough. */
  #areAllUpTo(leaving: readonly Held<Body>[]): boolean {
    const last = leaving.at(-1)
    let count = 0
    for (const held of this.#all) {
      if (held.session === last?.session) count += 1
      if (held === last) break
    }
    return count === leaving.length
  }

  /** A stale ack, for a message whose channel is gone, is dropped and counted. The broker delivers the message again. */
  #onChannel(session: Session, settle: () => void): void {
    try {
      if (session.over.signal.aborted) throw new Error('the channel is gone')
      settle() // amqplib throws between the start of a channel's closing and its close event
    } catch {
      this.#meter.count('stale_acks_dropped', { queue: this.#queue })
    }
  }
}
