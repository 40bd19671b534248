// Takes messages off a queue in batches and settles each one. If none can be applied for a while, the consumer leaves the
// queue: it cancels its subscription and requeues its messages.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { ConsumerConfig, RabbitmqConfig } from '../config.ts'
import { type Connection, superviseChannel } from '../connection/connection.ts'
import { pauseReading } from '../connection/inside-amqplib.ts'
import type { Supervised } from '../connection/supervised.ts'
import { ensureQueue } from '../connection/topology.ts'
import { type Contract, deadLetterQueue } from '../contract.ts'
import type { Delivery, Handler } from '../handler.ts'
import { idsOf } from '../logged-ids.ts'
import { withoutOrigin } from '../origin.ts'
import { clockOf, OwnScope, withDeadline } from '../scope.ts'
import { traced } from '../traces.ts'
import { zeroConsumed } from '../zero-counts.ts'
import { attemptAll, isTransient, type Reported, type Unreported } from './attempts.ts'
import { type Held, InFlight, type Readable, type Session } from './in-flight.ts'
import { OutcomeReporter, type OutcomeReporterParts } from './outcome-reporter.ts'
import { type Refused, readMessage } from './read-message.ts'
import { WorkLog } from './work-log.ts'

/** A higher limit does not make batches faster. */
const IN_FLIGHT_MAX_BYTES = 33_554_432
/** Memory per byte of a body: the body, its parsed value, and its part of the SQL statement. */
const COST_OF_BYTE_IN_FLIGHT = 4
/** A higher limit does not answer queries faster. */
const REPLIES_MAX_BYTES = 33_554_432
/** Memory per byte of a reply: the reply, its rows, its text and its frames, and the same for queries that run at the same time. */
const COST_OF_REPLY_BYTE = 9
const CANCEL_TIMEOUT_MS = 1_000
/** How often the log repeats why the consumer has left the queue. */
const LOGGED_AGAIN_AFTER_MS = 30_000
/** When queries have no usable reply address, the log shows the first one, and then a count. */
const DROPPED_LOGGED_EVERY_MS = 10_000
/**
 * Longest pause before the queue is consumed again while the dependency is up but messages still fail. Before RabbitMQ
 * 4.3, each requeue counts toward the delivery limit of quorum queues, which is 20. An outage of an hour must cause far
 * fewer requeues.
 */
export const RETURN_PAUSE_MAX_MS = 600_000
export const RETURN_PAUSE_MIN_MS = 500
/** The prefetch when the consumer has returned to the queue. More than one, because a bad message is detected only if another one succeeds. */
const RETURN_PREFETCH = 10
/** The prefetch grows by this factor each time the consumer returns to the queue, while messages fail with an unknown error. */
const RETURN_PREFETCH_GROWTH = 4
/**
 * Maximum number of queries in flight. The others wait on the queue, where the broker drops them at their deadline, and
 * where another replica can take them. A query in flight may be handled too late, because its deadline is counted from its arrival here.
 */
export const QUERY_PREFETCH_MAX = 64
/** The longest expiration that an operator can configure. A longer one counts as no deadline. */
const EXPIRATION_MAX_MS = 3_600_000

export interface ConsumerParts<Body, Result>
  extends Omit<OutcomeReporterParts<Body, Result>, 'inFlight' | 'hearing' | 'scope' | 'stuckChanged'> {
  readonly handler: Handler<Body, Result>
  readonly connection: Supervised<Connection>
  readonly rabbitmq: RabbitmqConfig
  readonly config: ConsumerConfig
  /** Resolves with the reason why the handler's dependency cannot be used, in one sentence, or with undefined if it can. */
  readonly dependency: () => Promise<string | undefined>
}

export class Consumer<Body, Result> {
  readonly #parts: ConsumerParts<Body, Result>
  readonly #channel: Supervised<ConfirmChannel>
  readonly #stop: OwnScope
  readonly #inFlight: InFlight<Body>
  #session: Session | undefined
  readonly #working = new Set<Promise<void>>()
  readonly #reporter: OutcomeReporter<Body, Result>
  readonly #workLog: WorkLog
  readonly #dropped: RepeatedLine
  /** The current problem of the batch in flight or of the dependency. */
  #trouble: string | undefined
  /** Set while the consumer has left the queue because its messages cannot be applied. */
  #away: Promise<void> | undefined
  /** How many times the consumer has left the queue since a message was last applied. */
  #timesAway = 0
  /** The prefetch of the next subscription: small after the consumer has left the queue, until one message has been applied. */
  #takes: number
  /** When the handler last returned an outcome (`Clock.nowMs`). */
  #lastReportedMs = Number.NEGATIVE_INFINITY
  #closing: Promise<void> | undefined
  readonly #inFlightMaxBytes: number
  readonly #repliesMaxBytes: number
  readonly #prefetch: number
  /** The last value of the gauge `messages_held`. */
  #held = 0
  /** Set while reading is paused because too much is in flight. */
  #readOn: (() => void) | undefined

  constructor(parts: ConsumerParts<Body, Result>) {
    this.#workLog = new WorkLog(parts.contract, parts.service)
    this.#parts = { ...parts, handler: traced(parts.contract.queue, this.#workLog.watch(parts.handler)) }
    this.#stop = new OwnScope(clockOf(parts.service))
    this.#dropped = new RepeatedLine(DROPPED_LOGGED_EVERY_MS, () => this.#stop.clock.nowMs())
    const { contract, connection, rabbitmq, config, service } = parts
    const inFlight = { variable: 'CONSUMER_IN_HAND_MOST_BYTES', configured: config.inFlightMaxBytes }
    const costInFlight = { costBytes: COST_OF_BYTE_IN_FLIGHT, maxUseful: IN_FLIGHT_MAX_BYTES }
    this.#inFlightMaxBytes =
      service.memory?.limit('messagesInFlight', inFlight, costInFlight) ?? inFlight.configured ?? IN_FLIGHT_MAX_BYTES
    const replies = { variable: 'CONSUMER_REPLIES_MOST_BYTES', configured: config.repliesMaxBytes }
    const costOfReplies = { costBytes: COST_OF_REPLY_BYTE, maxUseful: REPLIES_MAX_BYTES }
    // Only replies to queries are large enough to count, and only services that handle queries have a budget for pages.
    const fitting = contract.kind === 'query' ? service.memory?.limit('pages', replies, costOfReplies) : undefined
    this.#repliesMaxBytes = fitting ?? replies.configured ?? REPLIES_MAX_BYTES
    zeroConsumed(service.meter, contract)
    this.#inFlight = new InFlight(contract.queue, service.meter, () => this.#left())
    this.#prefetch =
      contract.kind === 'query' ? Math.min(QUERY_PREFETCH_MAX, parts.config.prefetch) : parts.config.prefetch
    this.#takes = this.#prefetch
    // Unacknowledged refusals may take only a part of what may be in flight, because they must not block other messages.
    const hearing = { max: Math.ceil(this.#prefetch / 2), maxBytes: this.#inFlightMaxBytes / 4 }
    const stuckChanged = () => this.#measureHeld()
    this.#reporter = new OutcomeReporter({
      ...parts,
      inFlight: this.#inFlight,
      hearing,
      scope: this.#stop,
      stuckChanged,
    })
    const name = `subscription to ${contract.queue}`
    this.#channel = superviseChannel(connection, name, rabbitmq, service, (channel, lost) => this.#begin(channel, lost))
  }

  /** Resolves when the queue is consumed. Rejects with Misconfigured, or if `signal` aborts. */
  async subscribed(signal: AbortSignal): Promise<void> {
    await this.#channel.whenOpen(signal)
  }

  notReady(): string | undefined {
    return this.#channel.notReady() ?? this.#trouble ?? this.#reporter.notReady()
  }

  /** Stops taking messages, finishes and settles the batch in flight, requeues the rest, and closes the channel. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    await this.#cancel()
    await Promise.all(this.#working)
    await this.#reporter.done()
    await this.#away
    this.#inFlight.leave('requeue', this.#inFlight.unreported())
    await this.#channel.close()
  }

  async #begin(channel: ConfirmChannel, lost: (reason: Error) => void): Promise<void> {
    const { contract, rabbitmq } = this.#parts
    const session: Session = { channel, over: new AbortController(), consumerTags: [] }
    channel.on('close', () => {
      // Reading must resume even if messages of this session are still in flight, because the next channel may use the same connection.
      this.#readOnNow()
      this.#inFlight.sessionOver(session)
    })
    await ensureQueue(channel, contract.queue, rabbitmq.topology)
    await ensureQueue(channel, deadLetterQueue(contract.queue), rabbitmq.topology)
    this.#session = session
    if (this.#away === undefined) await this.#subscribe(session, lost)
  }

  async #subscribe(session: Session, lost: (reason: Error) => void): Promise<void> {
    const { contract } = this.#parts
    const { channel } = session
    const consumerTag = this.#stop.clock.uuid()
    session.consumerTags.push(consumerTag)
    await channel.prefetch(this.#takes)
    // The consumer may have left the queue before the broker responded.
    if (!session.consumerTags.includes(consumerTag)) return
    const arrived = (message: ConsumeMessage | null) => {
      // RabbitMQ cancels a consumer whose queue is deleted (https://www.rabbitmq.com/docs/consumer-cancel).
      if (message === null) lost(new Error(`the broker cancelled the subscription to ${contract.queue}`))
      else this.#arrived(message, session)
    }
    await channel.consume(contract.queue, arrived, { consumerTag })
  }

  async #cancel(): Promise<void> {
    const { channel, over, consumerTags = [] } = this.#session ?? {}
    const tags = consumerTags.splice(0)
    if (channel === undefined || over?.signal.aborted) return
    const cancelled = Promise.all(tags.map((tag) => channel.cancel(tag)))
    await withDeadline(this.#stop.clock, cancelled, CANCEL_TIMEOUT_MS, 'cancelling the subscription').catch(() => {})
  }

  /** Updates the gauge `messages_held`: all messages in flight count as held while the batch cannot be applied or dead-lettered. */
  #measureHeld(): void {
    const held = this.#trouble === undefined && !this.#reporter.isStuck ? 0 : this.#inFlight.size
    if (held === this.#held) return
    this.#held = held
    const { contract, service } = this.#parts
    service.meter.observe('messages_held', held, { queue: contract.queue })
  }

  #setTrouble(sentence: string | undefined): void {
    this.#trouble = sentence
    this.#measureHeld()
  }

  /** Called after messages were acknowledged or requeued. Resumes reading when half of the limit is free. */
  #left(): void {
    this.#measureHeld()
    if (this.#inFlight.bytes <= this.#inFlightMaxBytes / 2) this.#readOnNow()
    this.#startWork()
  }

  #readOnNow(): void {
    this.#readOn?.()
    this.#readOn = undefined
  }

  #arrived(message: ConsumeMessage, session: Session): void {
    const { contract, config, service } = this.#parts
    service.meter.count('messages_consumed', { queue: contract.queue })
    // Parsed on arrival, while the database works on the previous batch.
    const read = readMessage(contract, message, config.messageMaxBytes)
    const waitMs = waitMsOf(contract, message)
    // Commands have no deadline, and reading the clock for each of them would be slow.
    const expiresAtMs = waitMs === Number.POSITIVE_INFINITY ? waitMs : this.#stop.clock.nowMs() + waitMs
    const isLarge = contract.kind === 'query' && !('kind' in read) && contract.isLarge?.(read.headers) === true
    const question = questionOf(contract, read, isLarge)
    this.#inFlight.add({ message, session, read, question, isLarge, expiresAtMs, step: 'waiting', replyBytes: 0 })
    this.#measureHeld()
    if (this.#inFlight.bytes > this.#inFlightMaxBytes) this.#readOn ??= pauseReading(session.channel)
    this.#startWork()
  }

  /**
   * Handles commands one batch at a time, because the messages of a queue must keep their order. Queries change nothing, so
   * several batches of them run at the same time.
   */
  #startWork(): void {
    const { contract, config } = this.#parts
    // Checked first, because it is true for nearly every message that arrives.
    if (this.#working.size >= (contract.kind === 'query' ? config.queriesMax : 1)) return
    if (this.#stop.signal.aborted) return
    if (this.#waiting(1).length === 0) return
    const working = this.#work().finally(() => {
      this.#working.delete(working)
      if (this.#isRoomForReplies()) this.#startWork()
    })
    this.#working.add(working)
  }

  /** Handles batches until none can be started or the consumer stops. */
  async #work(): Promise<void> {
    for (;;) {
      // Messages that arrived in the same read of the socket belong in the same batch.
      await new Promise<void>((resolve) => this.#stop.clock.afterRead(resolve))
      if (this.#stop.signal.aborted) return
      const batch = this.#nextBatch()
      if (batch.length === 0) return
      const settled = this.#settleBatch(batch)
      // Other queries may be waiting, because none is started while unsent replies use all the memory allowed for them.
      this.#startWork()
      await settled
    }
  }

  /** The next commands, or queries that may share one call of the handler. No queries while unsent replies use all the memory allowed for them. */
  #nextBatch(): Held<Body>[] {
    const { contract, config } = this.#parts
    if (contract.kind === 'command') return this.#waiting(config.batchMax)
    for (const held of this.#inFlight.waiting(Number.POSITIVE_INFINITY))
      if (held.expiresAtMs < this.#stop.clock.nowMs()) this.#drop(held, 'expired')
      else if (!('kind' in held.read) && !this.#parts.addresses.maySendTo(held.message.properties.replyTo))
        this.#drop(held, 'no-reply-address')
    return this.#isRoomForReplies() ? this.#waiting(contract.togetherMax ?? config.batchMax) : []
  }

  /** The messages that may be handled next, up to `max`. */
  #waiting(max: number): Held<Body>[] {
    return this.#parts.contract.kind === 'query' ? this.#inFlight.waitingAlike(max) : this.#inFlight.waiting(max)
  }

  #isRoomForReplies(): boolean {
    return this.#inFlight.replyBytes < this.#repliesMaxBytes
  }

  /** Acknowledges a query without handling it, because its reply would be too late or has no valid address. */
  #drop(held: Held<Body>, reason: 'expired' | 'no-reply-address'): void {
    const { contract, service } = this.#parts
    const { properties } = held.message
    service.meter.count('queries_dropped', { queue: contract.queue, reason })
    const lines = reason === 'no-reply-address' ? this.#dropped.due(reason) : undefined
    if (lines !== undefined)
      service.log.warn(
        { queue: contract.queue, ...idsOf(properties), address: properties.replyTo, lines },
        'query dropped: no valid reply address',
      )
    this.#inFlight.leave('ack', [held])
  }

  /** Handles a batch. Reports each outcome as soon as it is known, and requeues the messages whose outcome stays unknown. */
  async #settleBatch(batch: readonly Held<Body>[]): Promise<void> {
    const { contract, handler, config, service } = this.#parts
    const { queue } = contract
    const since = this.#stop.clock.nowMs()
    service.meter.observe('batch_size_messages', batch.length, { queue })
    const reports: Promise<void>[] = []
    const readable = this.#toHandle(batch, reports)
    const unreported = await attemptAll(
      readable,
      {
        queue,
        handler,
        config,
        service,
        trouble: (sentence) => {
          this.#setTrouble(sentence)
          if (sentence !== undefined) this.#workLog.holding()
        },
        reported: (reported) => {
          this.#lastReportedMs = this.#stop.clock.nowMs()
          reports.push(this.#reporter.report(reported))
        },
        more: () => this.#oneMore(reports),
      },
      this.#givenUp(batch),
    )
    service.meter.observe('batch_duration_seconds', (this.#stop.clock.nowMs() - since) / 1000, { queue })
    if (unreported !== undefined && this.#lastReportedMs < since) await this.#goAway(unreported)
    else {
      // Some messages were applied, so the dependency is up, and the failure of the others may be temporary.
      this.#inFlight.leave('requeue', unreported?.items ?? [])
      this.#setTrouble(undefined)
      if (readable.length > 0) this.#backToNormal()
    }
    await Promise.all(reports)
  }

  /** The messages that can be parsed. The others are refused at once, together. */
  #toHandle(batch: readonly Held<Body>[], reports: Promise<void>[]): Readable<Body>[] {
    const readable: Readable<Body>[] = []
    const refused: Reported<Held<Body>, Result>[] = []
    for (const held of batch) {
      held.step = 'handling'
      if (isReadable(held)) readable.push(held)
      else if ('kind' in held.read) refused.push({ item: held, outcome: held.read })
    }
    if (refused.length > 0) reports.push(this.#reporter.report(refused))
    return readable
  }

  #oneMore(reports: Promise<void>[]): Readable<Body> | undefined {
    for (;;) {
      const waiting = this.#waiting(1)
      const [readable] = this.#toHandle(waiting, reports)
      if (readable !== undefined || waiting.length === 0) return readable
    }
  }

  #givenUp(batch: readonly Held[]): AbortSignal {
    return AbortSignal.any([this.#stop.signal, ...batch.slice(0, 1).map(({ session }) => session.over.signal)])
  }

  /**
   * Requeues all messages with an unknown outcome, and leaves the queue until the dependency is up. The messages wait on
   * the queue, where another replica may apply them. The consumer also leaves if the channel is closed, because a new
   * subscription would take the messages again at once, and each requeue counts toward the delivery limit.
   */
  async #goAway({ items, error }: Unreported<Held<Body>>): Promise<void> {
    if (this.#stop.signal.aborted) {
      this.#trouble = undefined
      return this.#inFlight.leave('requeue', items)
    }
    this.#trouble = `not consuming ${this.#parts.contract.queue}: ${error?.message}`
    await this.#cancel()
    // Queries that run at the same time are not requeued here. They are settled when their own batch ends.
    const leaving = new Set([...items, ...this.#inFlight.waiting(Number.POSITIVE_INFINITY)])
    this.#inFlight.leave(
      'requeue',
      this.#inFlight.unreported().filter((held) => leaving.has(held)),
    )
    this.#away ??= this.#comeBack(error).finally(() => {
      this.#away = undefined
    })
  }

  async #comeBack(error: Error | undefined): Promise<void> {
    const { contract, config, dependency, service } = this.#parts
    const fields = { queue: contract.queue }
    const line = new RepeatedLine(LOGGED_AGAIN_AFTER_MS, () => this.#stop.clock.nowMs())
    line.due('away')
    service.log.warn(fields, `left the queue ${contract.queue} until its messages can be applied: ${error?.message}`)
    this.#takes = Math.min(
      this.#prefetch,
      isTransient(error) || this.#takes >= this.#prefetch ? RETURN_PREFETCH : RETURN_PREFETCH_GROWTH * this.#takes,
    )
    const growing = Math.min(RETURN_PAUSE_MAX_MS, RETURN_PAUSE_MIN_MS * 4 ** this.#timesAway)
    this.#timesAway += 1
    await this.#stop.pause(growing * (0.5 + this.#stop.clock.random() / 2))
    for (let attempt = 1; !this.#stop.signal.aborted; attempt += 1) {
      const why = await dependency()
      if (why === undefined) break
      this.#trouble = `not consuming ${contract.queue}: ${why}`
      if (line.due('away') !== undefined) service.log.warn(fields, this.#trouble)
      await this.#stop.backOff(attempt, config.retryMaxMs)
    }
    if (this.#stop.signal.aborted) return
    service.log.info(fields, `consuming ${contract.queue} again`)
    this.#trouble = undefined
    this.#away = undefined
    this.#measureHeld()
    await this.#resubscribe(0)
  }

  /**
   * Subscribes on the current channel, unless the channel already has more than `subscriptions` subscriptions. If that
   * fails, the channel is closed and reopened.
   */
  async #resubscribe(subscriptions: number): Promise<void> {
    const session = this.#session
    if (session === undefined || session.over.signal.aborted || session.consumerTags.length > subscriptions) return
    const lost = () => void session.channel.close().catch(() => {})
    await this.#subscribe(session, lost).catch(lost)
  }

  /**
   * Restores the full prefetch after the first message was applied again. Uses a second subscription, because after a
   * cancel of the first one the broker would requeue messages in flight behind later ones. The
   * subscription is not awaited: while too much is in flight, the broker's responses are not read until the current work
   * is done.
   */
  #backToNormal(): void {
    if (this.#timesAway === 0) return
    this.#timesAway = 0
    const isFull = this.#takes === this.#prefetch
    this.#takes = this.#prefetch
    if (!isFull) void this.#resubscribe(1)
  }
}

const isReadable = <Body>(held: Held<Body>): held is Readable<Body> => !('kind' in held.read)

/** The question is kept in memory for each query in flight. A query with a longer one is not combined with others. */
const QUESTION_MAX_LENGTH = 1_000

function questionOf(contract: Contract, read: Delivery | Refused, isLarge: boolean): string | undefined {
  if (contract.kind === 'command' || 'kind' in read) return undefined
  // Large queries are combined only with identical ones.
  if (contract.togetherMax !== undefined && !isLarge) return 'any'
  const question = read.fingerprint + JSON.stringify(withoutOrigin(read.headers))
  return question.length <= QUESTION_MAX_LENGTH ? question : undefined
}

/** How long the sender of this query waits for the reply. Counted from the arrival here, because the sender's clock may differ. */
function waitMsOf({ kind }: Contract, { properties }: ConsumeMessage): number {
  const expirationMs = Number(properties.expiration ?? Number.NaN)
  return kind === 'query' && expirationMs <= EXPIRATION_MAX_MS ? expirationMs : Number.POSITIVE_INFINITY
}
