// Reports outcomes. Replies to the sender if requested, dead-letters a refused message unless its sender received the refusal, and then acknowledges.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import type { ConsumerConfig } from '../config.ts'
import type { Contract } from '../contract.ts'
import { asError, NotAccepted } from '../errors.ts'
import type { Outcome } from '../handler.ts'
import { idsOf, idsOfAll } from '../logged-ids.ts'
import type { Envelope, Publisher } from '../outgoing/publisher.ts'
import { HEARS_REFUSALS_HEADER } from '../outgoing/reply.ts'
import type { ReplyAddresses } from '../outgoing/reply-addresses.ts'
import type { Requester } from '../outgoing/requester.ts'
import { Scope } from '../scope.ts'
import type { Service } from '../service.ts'
import { traceSending } from '../traces.ts'
import type { Reported } from './attempts.ts'
import { OutcomeCounter } from './counted-outcomes.ts'
import { deadLetter } from './dead-letter.ts'
import type { Held, InFlight } from './in-flight.ts'
import type { Refused } from './read-message.ts'
import { replyTo } from './reply-envelope.ts'
import { Stuck } from './stuck.ts'

/**
 * How long the reply to a command may wait for a connection, and for the unconfirmed messages to fall below their limit. It
 * need not wait longer, because the effect of the command is already durable. The reply to a query may wait until the
 * deadline of the query.
 */
const REPLY_WAITS_MAX_MS = 30_000

/** When replies cannot be delivered for the same reason, the log shows the first one, and then a count at most this often. */
const LOGGED_EVERY_MS = 10_000

/** Maximum time for the check of the reply address of a refusal. */
const ADDRESS_WAITS_MAX_MS = 2_000

export interface OutcomeReporterParts<Body, Result> {
  readonly contract: Contract<Body, Result>
  readonly publisher: Publisher
  /** Has its own connection, because large replies must not delay dead letters. */
  readonly replies: Publisher
  /** Uses the same connection as `replies`. */
  readonly refusals: Pick<Requester, 'refuse'>
  readonly addresses: ReplyAddresses
  readonly config: Pick<ConsumerConfig, 'retryMaxMs'>
  readonly service: Service
  readonly inFlight: InFlight<Body>
  /** Maximum number and size of the refused messages that wait for their sender's acknowledgement, which may never come. */
  readonly hearing: { readonly max: number; readonly maxBytes: number }
  /** Ends when the consumer stops. */
  readonly scope: Scope
  /** Called when a first message cannot be dead-lettered, and when there is no such message any more. */
  readonly stuckChanged: () => void
}

export class OutcomeReporter<Body, Result> {
  readonly #parts: OutcomeReporterParts<Body, Result>
  /** Replies that are being sent. They do not delay the next batch. */
  readonly #replying = new Set<Promise<void>>()
  /** The number of refused messages whose sender has not acknowledged the refusal yet, and their size. */
  #hearing = 0
  #hearingBytes = 0
  readonly #stuck: Stuck<Held<Body>>
  readonly #outcomes: OutcomeCounter
  readonly #unreplied: RepeatedLine

  constructor(parts: OutcomeReporterParts<Body, Result>) {
    this.#parts = parts
    const { contract, service, scope } = parts
    this.#unreplied = new RepeatedLine(LOGGED_EVERY_MS, () => scope.clock.nowMs())
    this.#stuck = new Stuck(contract.queue, service, parts.stuckChanged)
    this.#outcomes = new OutcomeCounter(contract, service.meter)
  }

  /** Whether a message currently cannot be dead-lettered. */
  get isStuck(): boolean {
    return this.#stuck.size > 0
  }

  /** Why a message cannot be dead-lettered, in one sentence. Undefined if there is none. */
  notReady(): string | undefined {
    return this.#stuck.notReady()
  }

  /** Resolves when these messages are no longer in flight, except those whose reply is being sent. */
  async report(reported: readonly Reported<Held<Body>, Result>[]): Promise<void> {
    const plain: Held<Body>[] = []
    const others: Reported<Held<Body>, Result>[] = []
    for (const each of reported) {
      const { item, outcome } = each
      item.step = 'reporting'
      if (outcome.kind === 'answered') item.replyBytes = outcome.body.length
      if (outcome.kind === 'applied' && !wantsReply(item)) plain.push(item)
      else others.push(each)
    }
    this.#outcomes.count(reported.map(({ outcome }) => outcome))
    // Acknowledged together and at once. They do not wait for the dead letters of other messages.
    this.#parts.inFlight.leave('ack', plain)
    if (others.length === 0) return
    const areDeadLettered = await Promise.all(others.map(({ item, outcome }) => this.#reportOne(item, outcome)))
    this.#logDeadLettered(others.filter((_, index) => areDeadLettered[index]))
  }

  /** Resolves when no reply is being sent any more. */
  async done(): Promise<void> {
    await Promise.all(this.#replying)
  }

  /** Resolves with true if the message was dead-lettered. */
  async #reportOne(held: Held<Body>, outcome: Outcome<Result>): Promise<boolean> {
    const { inFlight } = this.#parts
    if (outcome.kind === 'refused' && hearsRefusals(held) && this.#mayHear(held)) {
      this.#meanwhile(this.#refuse(held, outcome))
      return false
    }
    const isDeadLettered = outcome.kind === 'refused' && (await this.#publishDeadLetter(held, outcome))
    if (outcome.kind === 'refused' && !isDeadLettered) inFlight.leave('requeue', [held])
    else if (!wantsReply(held) && outcome.kind !== 'answered') inFlight.leave('ack', [held])
    else this.#meanwhile(this.#reply(held, outcome).then(() => inFlight.leave('ack', [held])))
    return isDeadLettered
  }

  /** Logs one line for each reason. The dead letters contain the messages and all details. */
  #logDeadLettered(reported: readonly Reported<Held<Body>, Result>[]): void {
    const { contract, service } = this.#parts
    const byReason = new Map<string, { error: string; refused: Held['message']['properties'][] }>()
    for (const { item, outcome } of reported) {
      if (outcome.kind !== 'refused') continue
      const same = byReason.get(outcome.reason) ?? { error: outcome.error, refused: [] }
      byReason.set(outcome.reason, same)
      same.refused.push(item.message.properties)
    }
    for (const [reason, { error, refused }] of byReason) {
      const messages = refused.length
      const fields = { queue: contract.queue, messages, ...idsOfAll(refused), reason, error }
      service.log.warn(fields, `${messages} message${messages === 1 ? '' : 's'} refused and dead-lettered`)
    }
  }

  #mayHear({ message }: Held): boolean {
    const { max, maxBytes } = this.#parts.hearing
    return this.#hearing < max && this.#hearingBytes + message.content.length <= maxBytes
  }

  #meanwhile(replying: Promise<void>): void {
    this.#replying.add(replying)
    void replying.then(() => this.#replying.delete(replying))
  }

  /** Replies to the sender, and dead-letters the message unless the sender acknowledges the reply. */
  async #refuse(held: Held<Body>, refused: Refused): Promise<void> {
    const { contract, refusals, inFlight, service, scope } = this.#parts
    const { properties } = held.message
    const { queue } = contract
    const { reason, error } = refused
    const bytes = held.message.content.length
    this.#hearing += 1
    this.#hearingBytes += bytes
    // A shutdown does not interrupt this. The sender will probably receive the reply, and a dead letter would then be superfluous.
    const givenUp = new Scope(scope.clock, held.session.over.signal)
    const envelope = await this.#replyEnvelope(held, refused, givenUp.part([], ADDRESS_WAITS_MAX_MS))
    const isHeard =
      envelope !== undefined &&
      (await traceSending(envelope, properties.headers, (traced) => refusals.refuse(traced, givenUp)))
    this.#hearing -= 1
    this.#hearingBytes -= bytes
    if (isHeard) {
      service.meter.count('messages_refused_told', { queue, reason })
      service.log.info({ queue, ...idsOf(properties), reason, error }, 'message refused: its sender was told')
      return inFlight.leave('ack', [held])
    }
    const isDeadLettered = await this.#publishDeadLetter(held, refused)
    inFlight.leave(isDeadLettered ? 'ack' : 'requeue', [held])
    if (isDeadLettered) this.#logDeadLettered([{ item: held, outcome: refused }])
  }

  async #replyEnvelope({ message }: Held, outcome: Outcome<Result>, scope: Scope): Promise<Envelope | undefined> {
    const { contract, addresses } = this.#parts
    return (await addresses.isSafe(message.properties.replyTo, scope)) ? replyTo(contract, message, outcome) : undefined
  }

  /** Publishes the dead letter, and retries until the broker has confirmed it. Resolves with false if the session or the consumer ends first. */
  async #publishDeadLetter(held: Held<Body>, refused: Refused): Promise<boolean> {
    const { contract, publisher, config, service, scope } = this.#parts
    const { message, session } = held
    const failure = { consumer: service.name, at: scope.clock.date(), letterId: scope.clock.uuid() }
    // Created only after a failure, because combining signals is slow.
    let givenUp: Scope | undefined
    try {
      for (let attempt = 1; !session.over.signal.aborted; attempt += 1) {
        try {
          const { frameMax } = publisher
          const envelope = deadLetter(contract, message, refused, { ...failure, frameMax })
          // The dead letter is sent without the headers of this span. It keeps the sender's trace context, to which a redriven message links.
          await traceSending(envelope, message.properties.headers, () => publisher.deliver(envelope, scope.signal))
          service.meter.count('messages_dead_lettered', { queue: contract.queue, reason: refused.reason })
          return true
        } catch (error) {
          this.#stuck.failed(held, asError(error))
          givenUp ??= scope.part([session.over.signal])
          await givenUp.backOff(attempt, config.retryMaxMs)
          if (givenUp.isOver) return false
        }
      }
      return false
    } finally {
      this.#stuck.left(held)
    }
  }

  /**
   * Sends the reply. The effect is already durable, so a failure is only logged. The reply waits until it can be sent,
   * because after a broker restart requests may arrive before the connection for replies is open.
   */
  async #reply(held: Held<Body>, outcome: Outcome<Result>): Promise<void> {
    const { contract, replies, service, scope } = this.#parts
    const { message, session, expiresAtMs } = held
    const { properties } = message
    const labels = { queue: contract.queue }
    const envelope = await this.#replyEnvelope(held, outcome, scope)
    if (envelope === undefined) {
      const lines = this.#unreplied.due('no-reply-address')
      if (lines !== undefined)
        service.log.warn(
          { ...labels, ...idsOf(properties), address: properties.replyTo, lines },
          'reply not sent: its address is not valid, or could not be checked',
        )
      return
    }
    const waitsMs = contract.kind === 'query' ? expiresAtMs - scope.clock.nowMs() : REPLY_WAITS_MAX_MS
    try {
      await traceSending(envelope, message.properties.headers, (traced) =>
        replies.tell(traced, scope.part([session.over.signal], Math.max(0, waitsMs))),
      )
      service.meter.count('replies_sent', labels)
    } catch (error) {
      service.meter.count('replies_unroutable', labels)
      const { name, message: why } = asError(error)
      const lines = this.#unreplied.due(error instanceof NotAccepted ? error.reason : name)
      if (lines !== undefined)
        service.log.warn({ ...labels, ...idsOf(properties), lines }, `reply not delivered: ${why}`)
    }
  }
}

const hearsRefusals = ({ message }: Held): boolean => message.properties.headers?.[HEARS_REFUSALS_HEADER] === true

const wantsReply = ({ message }: Held): boolean => message.properties.replyTo !== undefined
