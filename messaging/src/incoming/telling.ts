// Reports outcomes: replies to the sender if requested, dead-letters a refused message unless its sender was notified, then acknowledges.
import type { ConsumerConfig } from '../config.ts'
import type { Contract } from '../contract.ts'
import { asError } from '../errors.ts'
import type { Outcome } from '../handler.ts'
import type { Envelope, Publisher } from '../outgoing/publisher.ts'
import { HEARS_REFUSALS_HEADER } from '../outgoing/reply.ts'
import type { ReplyAddresses } from '../outgoing/reply-addresses.ts'
import type { Requester } from '../outgoing/requester.ts'
import { Scope } from '../scope.ts'
import type { Service } from '../service.ts'
import type { Told } from './attempts.ts'
import { deadLetter } from './dead-letter.ts'
import type { Held, InHand } from './in-hand.ts'
import type { Refused } from './read-message.ts'
import { replyTo } from './reply-envelope.ts'

/** Longest wait for room for the reply to a command, whose effect is durable anyway. The reply to a query waits until its deadline. */
const REPLY_WAITS_MOST_MS = 30_000

/** Longest wait until it is known whether the broker can deliver a refusal to its reply address. */
const ADDRESS_WAITS_MAX_MS = 2_000

export interface TellingParts<Body, Result> {
  readonly contract: Contract<Body, Result>
  readonly publisher: Publisher
  /** Has its own connection, so that large replies do not delay dead letters. */
  readonly replies: Publisher
  /** On the same connection. */
  readonly refusals: Pick<Requester, 'refuse'>
  readonly addresses: ReplyAddresses
  readonly config: Pick<ConsumerConfig, 'retryMostMs'>
  readonly service: Service
  readonly inHand: InHand<Body>
  /** Maximum number of refused messages that wait for their sender's acknowledgement, which may never come. */
  readonly hearing: { readonly most: number; readonly mostBytes: number }
  /** Ends when the consumer stops. */
  readonly scope: Scope
}

export class Telling<Body, Result> {
  readonly #parts: TellingParts<Body, Result>
  /** Replies being sent while the next batch runs. */
  readonly #replying = new Set<Promise<void>>()
  /** Refusals that their sender has not acknowledged yet, and the bytes of their bodies. */
  #hearing = 0
  #hearingBytes = 0
  /** Messages that cannot be set aside, each with the reason. */
  readonly #stuck = new Map<Held<Body>, string>()

  constructor(parts: TellingParts<Body, Result>) {
    this.#parts = parts
  }

  /** Why a message cannot be dead-lettered, in one sentence. Undefined when none waits for that. */
  notReady(): string | undefined {
    return this.#stuck.values().next().value
  }

  /** Resolves when all of them have left, except those whose reply is being sent. */
  async tell(told: readonly Told<Held<Body>, Result>[]): Promise<void> {
    for (const { item, outcome } of told) {
      item.step = 'telling'
      if (outcome.kind === 'answered') item.replyBytes = outcome.body.length
      if (outcome.kind !== 'refused') this.#count(outcome)
    }
    const isPlain = ({ item, outcome }: Told<Held<Body>, Result>) => outcome.kind === 'applied' && !wantsReply(item)
    // Together and at once, without waiting for the dead letters of others.
    const plain = told.filter(isPlain).map(({ item }) => item)
    this.#parts.inHand.leave('ack', plain)
    if (plain.length === told.length) return
    const others = told.filter((each) => !isPlain(each))
    await Promise.all(others.map(({ item, outcome }) => this.#tellOne(item, outcome)))
  }

  /** Resolves when no reply is being sent any more. */
  async done(): Promise<void> {
    await Promise.all(this.#replying)
  }

  #count(outcome: Exclude<Outcome<Result>, Refused>): void {
    const { contract, service } = this.#parts
    const isRepeated = outcome.kind === 'applied' && outcome.repeated
    service.meter.count(isRepeated ? 'messages_duplicates' : 'messages_applied', { queue: contract.queue })
  }

  async #tellOne(held: Held<Body>, outcome: Outcome<Result>): Promise<void> {
    const { inHand } = this.#parts
    if (outcome.kind === 'refused' && hearsRefusals(held) && this.#mayHear(held))
      return this.#meanwhile(this.#refuse(held, outcome))
    if (outcome.kind === 'refused' && !(await this.#setAside(held, outcome))) return inHand.leave('give back', [held])
    if (!wantsReply(held) && outcome.kind !== 'answered') return inHand.leave('ack', [held])
    this.#meanwhile(this.#reply(held, outcome).then(() => inHand.leave('ack', [held])))
  }

  #mayHear({ message }: Held): boolean {
    const { most, mostBytes } = this.#parts.hearing
    return this.#hearing < most && this.#hearingBytes + message.content.length <= mostBytes
  }

  #meanwhile(replying: Promise<void>): void {
    this.#replying.add(replying)
    void replying.then(() => this.#replying.delete(replying))
  }

  /** Replies to the sender, and dead-letters the message only if the sender did not receive the reply. */
  async #refuse(held: Held<Body>, refused: Refused): Promise<void> {
    const { contract, refusals, inHand, service, scope } = this.#parts
    const { messageId } = held.message.properties
    const { queue } = contract
    const { reason, error } = refused
    const bytes = held.message.content.length
    this.#hearing += 1
    this.#hearingBytes += bytes
    // A stop does not end this: the sender will probably receive the reply, and a dead letter would then be one too many.
    const givenUp = new Scope(scope.clock, held.session.over.signal)
    const envelope = await this.#replyEnvelope(held, refused, givenUp.part([], ADDRESS_WAITS_MAX_MS))
    const isHeard = envelope !== undefined && (await refusals.refuse(envelope, givenUp))
    this.#hearing -= 1
    this.#hearingBytes -= bytes
    if (isHeard) {
      service.meter.count('messages_refused_told', { queue, reason })
      service.log.info({ queue, messageId, reason, error }, 'message refused: its sender was told')
      return inHand.leave('ack', [held])
    }
    inHand.leave((await this.#setAside(held, refused)) ? 'ack' : 'give back', [held])
  }

  async #replyEnvelope({ message }: Held, outcome: Outcome<Result>, scope: Scope): Promise<Envelope | undefined> {
    const { contract, addresses } = this.#parts
    return (await addresses.bears(message.properties.replyTo, scope)) ? replyTo(contract, message, outcome) : undefined
  }

  /** Publishes the dead letter until the broker has confirmed it. Returns false when the session ended or a stop was requested first. */
  async #setAside(held: Held<Body>, refused: Refused): Promise<boolean> {
    const { contract, publisher, config, service, scope } = this.#parts
    const { message, session } = held
    const { messageId } = message.properties
    const fields = { queue: contract.queue, messageId, reason: refused.reason, error: refused.error }
    const failure = { consumer: service.name, at: scope.clock.date() }
    // Created only when needed, because combining signals is the slowest part.
    let givenUp: Scope | undefined
    try {
      for (let attempt = 1; !session.over.signal.aborted; attempt += 1) {
        try {
          const { frameMax } = publisher
          await publisher.deliver(deadLetter(contract, message, refused, { ...failure, frameMax }), scope.signal)
          service.meter.count('messages_dead_lettered', { queue: contract.queue, reason: refused.reason })
          service.log.warn(fields, 'message refused: it is among the dead letters')
          return true
        } catch (error) {
          const why = `cannot dead-letter a message of ${contract.queue}: ${asError(error).message}`
          this.#stuck.set(held, why)
          service.log.error(fields, why)
          givenUp ??= scope.part([session.over.signal])
          await givenUp.backOff(attempt, config.retryMostMs)
          if (givenUp.isOver) return false
        }
      }
      return false
    } finally {
      this.#stuck.delete(held)
    }
  }

  /**
   * Replies if requested. The effect is durable by now, so a missing requester is logged and nothing is repeated. The
   * reply waits for a connection and for room, because after a broker restart requests may arrive before the reply
   * connection is open.
   */
  async #reply(held: Held<Body>, outcome: Outcome<Result>): Promise<void> {
    const { contract, replies, service, scope } = this.#parts
    const { message, session, expiresAtMs } = held
    const { messageId, replyTo: address } = message.properties
    const labels = { queue: contract.queue }
    const envelope = await this.#replyEnvelope(held, outcome, scope)
    if (envelope === undefined)
      return service.log.warn({ ...labels, messageId, address }, 'no proper address to reply to')
    const waitsMs = contract.kind === 'query' ? expiresAtMs - scope.clock.nowMs() : REPLY_WAITS_MOST_MS
    try {
      await replies.tell(envelope, scope.part([session.over.signal], Math.max(0, waitsMs)))
      service.meter.count('replies_sent', labels)
    } catch (error) {
      service.meter.count('replies_unroutable', labels)
      service.log.warn({ ...labels, messageId }, `reply not delivered: ${asError(error).message}`)
    }
  }
}

const hearsRefusals = ({ message }: Held): boolean => message.properties.headers?.[HEARS_REFUSALS_HEADER] === true

const wantsReply = ({ message }: Held): boolean => message.properties.replyTo !== undefined
