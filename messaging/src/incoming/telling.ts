// Tells what was decided about messages: a dead letter for whoever looks there, a reply for whoever asked, then the ack.
import { backoffMs, pause } from '../backoff.ts'
import type { ConsumerConfig } from '../config.ts'
import type { Contract } from '../contract.ts'
import type { Outcome } from '../handler.ts'
import type { Publisher } from '../outgoing/publisher.ts'
import type { Service } from '../service.ts'
import type { Held, InHand } from './in-hand.ts'
import { deadLetter, type Refused, replyTo } from './settle.ts'

/** Longest wait for room for the reply to a command, which has its effect all the same. One to a query waits until its deadline. */
const REPLY_WAITS_MOST_MS = 30_000

export interface TellingParts<Body, Result> {
  readonly contract: Contract<Body, Result>
  readonly publisher: Publisher
  /** Has a connection of its own, so that large replies hold up no dead letter. */
  readonly replies: Publisher
  readonly config: Pick<ConsumerConfig, 'retryMostMs'>
  readonly service: Service
  readonly inHand: InHand<Body>
  readonly stopping: AbortSignal
  /** Called with the reason while a dead letter cannot be published, and with undefined afterwards. */
  readonly trouble: (sentence: string | undefined) => void
}

export class Telling<Body, Result> {
  readonly #parts: TellingParts<Body, Result>
  /** Replies under way, while the next batch goes on. */
  readonly #replying = new Set<Promise<void>>()

  constructor(parts: TellingParts<Body, Result>) {
    this.#parts = parts
  }

  /** Resolves when all of them have left, but for those whose reply is under way. */
  async tell(settled: readonly { held: Held<Body>; outcome: Outcome<Result> }[]): Promise<void> {
    for (const { held, outcome } of settled) {
      held.step = 'telling'
      this.#count(outcome)
    }
    const isPlain = settled.every(({ held, outcome }) => outcome.kind === 'applied' && !wantsReply(held))
    const all = settled.map(({ held }) => held)
    if (isPlain) this.#parts.inHand.leave('ack', all)
    else await Promise.all(settled.map(({ held, outcome }) => this.#tellOne(held, outcome)))
  }

  /** Resolves when no reply is under way any more. */
  async done(): Promise<void> {
    await Promise.all(this.#replying)
  }

  #count(outcome: Outcome<Result>): void {
    const { contract, service } = this.#parts
    const queue = contract.queue
    if (outcome.kind === 'refused') service.meter.count('messages_dead_lettered', { queue, reason: outcome.reason })
    else if (outcome.kind === 'applied' && outcome.repeated) service.meter.count('messages_duplicates', { queue })
    else service.meter.count('messages_applied', { queue })
  }

  async #tellOne(held: Held<Body>, outcome: Outcome<Result>): Promise<void> {
    const { inHand } = this.#parts
    if (outcome.kind === 'refused' && !(await this.#setAside(held, outcome))) return inHand.leave('give back', [held])
    if (!wantsReply(held) && outcome.kind !== 'answered') return inHand.leave('ack', [held])
    const replied: Promise<void> = this.#reply(held, outcome).then(() => {
      inHand.leave('ack', [held])
      this.#replying.delete(replied)
    })
    this.#replying.add(replied)
  }

  /** Publishes the dead letter until the broker has confirmed it; false when the session ended or we were to stop before. */
  async #setAside({ message, session }: Held, refused: Refused): Promise<boolean> {
    const { contract, publisher, config, service, stopping, trouble } = this.#parts
    const { messageId } = message.properties
    const fields = { queue: contract.queue, messageId, reason: refused.reason, error: refused.error }
    const failure = { consumer: service.name, at: new Date() }
    const givenUp = AbortSignal.any([stopping, session.over.signal])
    try {
      for (let attempt = 1; !session.over.signal.aborted; attempt += 1) {
        try {
          const { frameMax } = publisher
          await publisher.deliver(deadLetter(contract, message, refused, { ...failure, frameMax }), stopping)
          service.log.warn(fields, 'message refused: it is among the dead letters')
          return true
        } catch (error) {
          const why = `cannot dead-letter a message of ${contract.queue}: ${sentence(error)}`
          trouble(why)
          service.log.error(fields, why)
          await pause(backoffMs(attempt, config.retryMostMs), givenUp)
          if (givenUp.aborted) return false
        }
      }
      return false
    } finally {
      trouble(undefined)
    }
  }

  /**
   * Replies if asked to. The effect is durable by now: a requester who is gone is logged, and no reason to do it again. A
   * connection to reply on and room for the reply are waited for: after a restart of the broker requests may come before there is one.
   */
  async #reply({ message, session, expiresAtMs }: Held, outcome: Outcome<Result>): Promise<void> {
    const { contract, replies, service, stopping } = this.#parts
    const { messageId, replyTo: address } = message.properties
    const labels = { queue: contract.queue }
    const envelope = replyTo(contract, message, outcome)
    if (envelope === undefined)
      return service.log.warn({ ...labels, messageId, address }, 'no proper address to reply to')
    const waitsMs =
      contract.kind === 'query' ? Math.max(0, Math.ceil(expiresAtMs - performance.now())) : REPLY_WAITS_MOST_MS
    const late = Number.isFinite(waitsMs) ? [AbortSignal.timeout(waitsMs)] : []
    const givenUp = AbortSignal.any([stopping, session.over.signal, ...late])
    try {
      await replies.tell(envelope, givenUp)
      service.meter.count('replies_sent', labels)
    } catch (error) {
      service.meter.count('replies_unroutable', labels)
      service.log.warn({ ...labels, messageId }, `reply not delivered: ${sentence(error)}`)
    }
  }
}

const wantsReply = ({ message }: Held): boolean => message.properties.replyTo !== undefined

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))
