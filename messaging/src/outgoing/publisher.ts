// Publishes persistent, mandatory messages and waits for their confirms. Limits the number and size of unconfirmed messages.
import { type ConfirmChannel, IllegalOperationError, type Message, type Options } from 'amqplib'
import type { RabbitmqConfig } from '../config.ts'
import type { Connection, Purpose } from '../connection/connection.ts'
import type { Supervised } from '../connection/supervised.ts'
import type { Contract } from '../contract.ts'
import { Deadlines } from '../deadlines.ts'
import { asError, NotAccepted, OutcomeUnknown } from '../errors.ts'
import { FRAME_MIN_BYTES } from '../incoming/carried.ts'
import { type Clock, clockOf, type Scope, whenLate } from '../scope.ts'
import type { Service } from '../service.ts'
import { traceSending } from '../traces.ts'
import { zeroPublished } from '../zero-counts.ts'
import { OwnQueues } from './own-queues.ts'
import { isReplyAddress } from './reply.ts'

/** A message to publish, already encoded. */
export interface Envelope {
  readonly queue: string
  readonly content: Buffer
  readonly properties: Options.Publish
}

/** Maximum pause before a waiting message checks again whether it can be sent. */
const ROOM_PAUSE_MS = 100

/** A higher limit does not make publishing faster. */
const UNCONFIRMED_MAX_BYTES = 33_554_432
/** Memory per unconfirmed byte: the message, its frames in the socket's buffer, and a byte of the second publisher, which has the same limit. */
const COST_OF_UNCONFIRMED_BYTE = 3

interface Unconfirmed {
  readonly envelope: Envelope
  /** The deadline starts when this signal aborts. It starts at once if undefined. */
  readonly patientUntil: AbortSignal | undefined
  /** When it was sent (`Clock.nowMs`). */
  readonly sentAtMs: number
  /** The broker returned the message because the queue does not exist. The confirm follows. */
  returned: boolean
  /** The caller has the result. The message may still be in memory or in the socket's buffer. */
  isReported: boolean
  resolve(): void
  reject(reason: Error): void
}

export class Publisher {
  readonly #connection: Supervised<Connection>
  readonly #config: RabbitmqConfig
  readonly #service: Service
  readonly #clock: Clock
  readonly #purpose: Purpose
  readonly #unconfirmedMaxBytes: number
  /** @internal */
  readonly queues: OwnQueues
  /** Keyed by a running number, because forwarded messages may have no message id, or the same one. */
  readonly #unconfirmed = new Map<number, Unconfirmed>()
  readonly #deadlines: Deadlines<number>
  /** Messages without a deadline until the signal aborts. Those with the same signal share one listener. */
  readonly #patient = new Map<AbortSignal, Set<number>>()
  #published = 0
  #channel: Supervised<ConfirmChannel> | undefined
  #unconfirmedBytes = 0
  /** When the last confirm arrived, or when the first unconfirmed message was published (`Clock.nowMs`). */
  #confirmedAtMs = 0
  #stallWatch: (() => void) | undefined
  #idle: (() => void) | undefined
  /** Resolves when the last message passed to `tell` was sent or refused. */
  #lastTurn: Promise<void> = Promise.resolve()
  #roomMade = () => {}

  constructor(
    connection: Supervised<Connection>,
    config: RabbitmqConfig,
    service: Service,
    purpose: Purpose = 'publishing',
    queues = new OwnQueues(connection, config, service),
  ) {
    this.#connection = connection
    this.#config = config
    this.#service = service
    this.#clock = clockOf(service)
    this.#purpose = purpose
    const variable = 'RABBITMQ_UNCONFIRMED_MOST_BYTES'
    const cost = { costBytes: COST_OF_UNCONFIRMED_BYTE, maxUseful: UNCONFIRMED_MAX_BYTES }
    const configured = config.unconfirmedMaxBytes
    this.#unconfirmedMaxBytes =
      service.memory?.limit('unconfirmedMessages', { variable, configured }, cost) ??
      configured ??
      UNCONFIRMED_MAX_BYTES
    this.queues = queues
    this.#deadlines = new Deadlines(this.#clock, config.confirmTimeoutMs, (id) => this.#late(id))
  }

  /**
   * Publishes a persistent message of `contract`, and resolves once the broker has confirmed that it is stored. If
   * `properties` has no messageId, the message gets a new one (UUIDv7, RFC 9562).
   * @throws NotAccepted (not stored) or OutcomeUnknown (maybe stored: not confirmed in time, nacked, or the connection was lost).
   * @example
   * ```ts
   * const { messageId } = await broker.publisher.publish(stockManagement, { sku: 'IB123456789' })
   * ```
   */
  publish(contract: Contract, body: unknown, properties: Options.Publish = {}): Promise<{ messageId: string }> {
    try {
      const messageId = properties.messageId ?? this.#clock.uuid()
      const envelope = this.#enveloped(contract, body, { ...properties, messageId })
      return traceSending(envelope, undefined, (traced) =>
        this.#offer(traced, { messageId }, undefined, this.#slowness(contract.queue) ?? this.#refusal(traced)),
      )
    } catch (error) {
      // The body cannot be converted to JSON.
      return Promise.reject(error)
    }
  }

  #enveloped({ queue }: Contract, body: unknown, properties: Options.Publish): Envelope {
    return {
      queue,
      content: Buffer.from(JSON.stringify(body)),
      properties: {
        persistent: true,
        contentType: 'application/json',
        timestamp: Math.floor(this.#clock.date().getTime() / 1000),
        appId: this.#service.name,
        ...properties,
      },
    }
  }

  /** Publishes an encoded message, and resolves once the broker has confirmed it. Same errors as `publish`. */
  send(envelope: Envelope): Promise<void> {
    return this.#offer(envelope, undefined)
  }

  /**
   * Publishes a message that should not be duplicated. Waits for the confirm without a deadline while the channel is open.
   * After `stopping` has aborted, the deadline is the same as for `send`. Same errors as `publish`.
   */
  deliver(envelope: Envelope, stopping: AbortSignal): Promise<void> {
    return this.#offer(envelope, undefined, stopping)
  }

  /**
   * Publishes best effort, in the order of the calls. Waits until `scope` ends for a connection, and for the unconfirmed
   * messages to fall below their limit. Same errors as `publish`. @internal
   */
  async tell(envelope: Envelope, scope: Scope): Promise<void> {
    const before = this.#lastTurn
    let done = () => {}
    this.#lastTurn = new Promise((resolve) => {
      done = resolve
    })
    await before
    while (this.#refusal(envelope) !== undefined && !scope.isOver) await this.#room(scope)
    const sent = this.send(envelope)
    done()
    await sent
  }

  /** Uses `channel` from now on. The owner of the channel calls `attach` from its set-up. @internal */
  useChannel(channel: Supervised<ConfirmChannel>): void {
    this.#channel = channel
  }

  /** Prepares a new channel: handles returned messages, and settles unconfirmed messages when it closes. */
  attach(channel: ConfirmChannel): void {
    channel.on('return', (message: Message) => this.#returned(message))
    channel.on('close', () => this.#lost())
  }

  /** Makes this publisher responsible for `queues`. It checks them for each new channel, and again if one was deleted. */
  ownQueues(queues: readonly string[]): void {
    for (const queue of queues) {
      this.queues.add(queue)
      zeroPublished(this.#service.meter, queue)
    }
  }

  /** The largest frame that the broker accepts now. Another server may accept less. */
  get frameMax(): number {
    return this.#connection.current?.frameMax ?? FRAME_MIN_BYTES
  }

  /** Resolves when messages can be published to all of its queues. Rejects with Misconfigured, or when `signal` aborts. */
  async opened(signal: AbortSignal): Promise<void> {
    await this.#channel?.whenOpen(signal)
    await this.queues.found(signal)
  }

  notReady(): string | undefined {
    const closed = this.#channel ? this.#channel.notReady() : 'the channel for publishing is not open yet'
    const blocked = this.#connection.current?.blocked
    if (closed !== undefined) return closed
    if (blocked !== undefined) return `the broker blocks publishing: ${blocked}`
    const silentMs = this.#silentMs()
    if (silentMs > this.#config.confirmTimeoutMs)
      return `the broker has confirmed nothing for ${Math.round(silentMs / 1_000)} s: ${this.#unconfirmed.size} messages wait`
    return this.queues.notReady()
  }

  /** Resolves when no confirm is pending: each message was confirmed, not accepted, or timed out. */
  async close(): Promise<void> {
    this.queues.close()
    if (!this.#isAwaited()) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
    })
  }

  #room(scope: Scope): Promise<void> {
    return new Promise((resolve) => {
      this.#roomMade = resolve
      void scope.pause(ROOM_PAUSE_MS).then(resolve)
    })
  }

  #measure(): void {
    this.#service.meter.observe('messages_unconfirmed', this.#unconfirmed.size, { connection: this.#purpose })
  }

  #refusal({ queue, content }: Envelope): NotAccepted | undefined {
    const blocked = this.#connection.current?.blocked
    if (this.#channel?.current === undefined)
      return new NotAccepted('disconnected', `not connected to the broker, message to ${queue} not sent`)
    if (blocked !== undefined) return new NotAccepted('blocked', `the broker blocks publishing: ${blocked}`)
    if (
      this.#unconfirmed.size >= this.#config.unconfirmedMax ||
      // A message of any size is allowed while no other is unconfirmed, so that one above the limit can be dead-lettered.
      (this.#unconfirmed.size > 0 && this.#unconfirmedBytes + content.length > this.#unconfirmedMaxBytes)
    )
      return new NotAccepted('over-limit', `${this.#unconfirmed.size} messages await their confirm already`)
    return undefined
  }

  /**
   * Refuses a message that would probably not be confirmed in time, because an earlier one has waited for half of the
   * timeout. Each queue is checked separately, because a slow queue does not delay the others. A message that is never confirmed
   * stops counting after the stall timeout.
   */
  #slowness(queue: string): NotAccepted | undefined {
    const { confirmTimeoutMs, stallTimeoutMs } = this.#config
    const nowMs = this.#clock.nowMs()
    for (const { envelope, sentAtMs } of this.#unconfirmed.values()) {
      const waitsMs = nowMs - Math.max(sentAtMs, this.#connection.current?.unblockedAtMs ?? 0)
      if (envelope.queue !== queue || waitsMs > stallTimeoutMs) continue
      if (waitsMs <= confirmTimeoutMs / 2) return undefined
      return new NotAccepted(
        'over-limit',
        `messages to ${queue} have waited ${Math.round(waitsMs)} ms for their confirm`,
      )
    }
    return undefined
  }

  /**
   * Resolves with `accepted` once the broker has confirmed. The deadline for the confirm starts now, or when `from`
   * aborts. Neither this nor `publish` is async, because each async function would keep memory until the confirm arrives.
   */
  #offer<Accepted>(
    envelope: Envelope,
    accepted: Accepted,
    from?: AbortSignal,
    refusal = this.#refusal(envelope),
  ): Promise<Accepted> {
    if (refusal === undefined)
      return new Promise((resolve, reject) => this.#write(envelope, () => resolve(accepted), reject, from))
    this.#service.meter.count('messages_not_accepted', { queue: countedAs(envelope), reason: refusal.reason })
    return Promise.reject(refusal)
  }

  #write(envelope: Envelope, resolve: () => void, reject: (reason: Error) => void, from?: AbortSignal): void {
    const { queue, content, properties } = envelope
    this.#published += 1
    const id = this.#published
    const clock = this.#clock
    if (from === undefined || from.aborted) this.#deadlines.add(id)
    else this.#patientUntil(from).add(id)
    if (this.#unconfirmed.size === 0) this.#confirmedAtMs = clock.nowMs()
    this.#unconfirmed.set(id, {
      envelope,
      sentAtMs: clock.nowMs(),
      patientUntil: from,
      returned: false,
      isReported: false,
      resolve,
      reject,
    })
    this.#unconfirmedBytes += content.length
    this.#measure()
    try {
      this.#channel?.current?.publish('', queue, content, { mandatory: true, ...properties }, (error) =>
        this.#confirmed(id, error),
      )
    } catch (error) {
      // amqplib throws before it writes anything: the channel is closing, or a property has a wrong type.
      const why = asError(error).message
      const reason = error instanceof IllegalOperationError ? 'disconnected' : 'unwritable'
      this.#settle(id, new NotAccepted(reason, `${named(envelope)} not sent: ${why}`))
    }
  }

  #patientUntil(signal: AbortSignal): Set<number> {
    const known = this.#patient.get(signal)
    if (known !== undefined) return known
    const ids = new Set<number>()
    this.#patient.set(signal, ids)
    const begin = () => {
      this.#patient.delete(signal)
      for (const id of ids) this.#deadlines.add(id)
    }
    signal.addEventListener('abort', begin, { once: true })
    return ids
  }

  #late(id: number): void {
    const entry = this.#unconfirmed.get(id)
    if (entry === undefined) return
    const why = `the broker did not confirm ${named(entry.envelope)} within ${this.#config.confirmTimeoutMs} ms`
    this.#report(id, new OutcomeUnknown(why))
    this.#watchStall()
  }

  #confirmed(id: number, error: unknown): void {
    const entry = this.#unconfirmed.get(id)
    if (entry === undefined) return
    this.#confirmedAtMs = this.#clock.nowMs()
    const { envelope, returned } = entry
    if (returned) this.#settle(id, new NotAccepted('unroutable', `the broker has no queue ${envelope.queue}`))
    else if (error === null || error === undefined) this.#settle(id, undefined)
    else if (error instanceof Error && error.message === 'message nacked')
      this.#settle(id, new OutcomeUnknown(`the broker rejected ${named(envelope)} (nack), but may have stored it`))
    else this.#settle(id, lostBeforeConfirm(envelope))
  }

  #settle(id: number, error: NotAccepted | OutcomeUnknown | undefined): void {
    const entry = this.#unconfirmed.get(id)
    if (entry === undefined) return
    this.#report(id, error)
    this.#unconfirmed.delete(id)
    this.#unconfirmedBytes -= entry.envelope.content.length
    this.#measure()
    this.#roomMade()
  }

  /** Reports the result to the caller once. After an unknown outcome, the message stays unconfirmed until its confirm or the end of the channel. */
  #report(id: number, error: NotAccepted | OutcomeUnknown | undefined): void {
    const entry = this.#unconfirmed.get(id)
    if (entry === undefined || entry.isReported) return
    entry.isReported = true
    this.#deadlines.delete(id)
    if (entry.patientUntil) this.#patient.get(entry.patientUntil)?.delete(id)
    const { meter } = this.#service
    const queue = countedAs(entry.envelope)
    if (error === undefined) {
      meter.count('messages_confirmed', { queue })
      entry.resolve()
    } else {
      if (error instanceof NotAccepted) meter.count('messages_not_accepted', { queue, reason: error.reason })
      else meter.count('messages_outcome_unknown', { queue })
      entry.reject(error)
    }
    if (this.#idle !== undefined && !this.#isAwaited()) this.#idle()
  }

  #isAwaited(): boolean {
    for (const { isReported } of this.#unconfirmed.values()) if (!isReported) return true
    return false
  }

  /** Drops a connection on which the broker confirms nothing. Its messages are stuck in the broker's buffers or in ours. */
  #watchStall(): void {
    const { stallTimeoutMs } = this.#config
    this.#stallWatch ??= whenLate(this.#clock, stallTimeoutMs, () => {
      this.#stallWatch = undefined
      if (this.#silentMs() >= stallTimeoutMs)
        this.#connection.current?.drop(new Error(`the broker confirmed nothing for ${stallTimeoutMs} ms`))
      else if (this.#unconfirmed.size > 0) this.#watchStall()
    })
  }

  /** How long messages have waited without any confirm. Time during an alarm does not count: the broker announces it, and it may last hours. */
  #silentMs(): number {
    const { blocked, unblockedAtMs = 0 } = this.#connection.current ?? {}
    if (this.#unconfirmed.size === 0 || blocked !== undefined) return 0
    return this.#clock.nowMs() - Math.max(this.#confirmedAtMs, unblockedAtMs)
  }

  /** Marks the oldest matching entry as returned. The entry still exists, because the broker returns a message before it confirms it. */
  #returned({ fields, properties, content }: Message): void {
    const queue = fields.routingKey
    this.#service.meter.count('messages_returned', { queue: countedAs({ queue }) })
    for (const entry of this.#unconfirmed.values()) {
      const { envelope } = entry
      if (entry.returned || envelope.queue !== queue) continue
      if (envelope.properties.messageId !== properties.messageId || !envelope.content.equals(content)) continue
      entry.returned = true
      break
    }
    // The queue was deleted. If it is one of ours, it is declared again for the next message.
    this.queues.returned(queue)
  }

  #lost(): void {
    this.#stallWatch?.()
    this.#stallWatch = undefined
    for (const [id, { envelope }] of [...this.#unconfirmed]) this.#settle(id, lostBeforeConfirm(envelope))
  }
}

/** The name of a queue in the metrics. Reply addresses share one label, because each requester has its own, and their number has no limit. */
const countedAs = ({ queue }: Pick<Envelope, 'queue'>): string => (isReplyAddress(queue) ? 'replies' : queue)

const named = ({ queue, properties }: Envelope) => `message ${properties.messageId ?? '(without id)'} to ${queue}`

const lostBeforeConfirm = (envelope: Envelope) =>
  new OutcomeUnknown(`the connection to the broker was lost before it confirmed ${named(envelope)}`)
