// Takes messages off a queue in batches and settles each one: the only file that acks.
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import type { ConsumerConfig, RabbitmqConfig } from '../config.ts'
import { type Connection, superviseChannel } from '../connection/connection.ts'
import { pauseReading } from '../connection/inside-amqplib.ts'
import type { Supervised } from '../connection/supervised.ts'
import { ensureQueue } from '../connection/topology.ts'
import { type Contract, deadLetterQueue } from '../contract.ts'
import type { Delivery, Handler, Outcome } from '../handler.ts'
import type { Publisher } from '../outgoing/publisher.ts'
import { isReplyAddress } from '../outgoing/reply.ts'
import type { ReplyAddresses } from '../outgoing/reply-addresses.ts'
import type { Requester } from '../outgoing/requester.ts'
import { clockOf, OwnScope, withDeadline } from '../scope.ts'
import type { Service } from '../service.ts'
import { zeroConsumed } from '../zero-counts.ts'
import { outcomesOf } from './attempts.ts'
import { type Held, InHand, type Session } from './in-hand.ts'
import { type Refused, readMessage } from './read-message.ts'
import { Telling } from './telling.ts'

/** More than this does not make a batch faster. */
const IN_HAND_MAX_BYTES = 33_554_432
/** The body, what is parsed from it, and what it becomes in the statement. */
const COST_OF_BYTE_IN_HAND = 4
const CANCEL_TIMEOUT_MS = 1_000
/**
 * Longest pause before the queue is consumed again while the dependency answers, but the messages fail all the same. Each try
 * counts toward the delivery limit of quorum queues before RabbitMQ 4.3, which is 20: an hour must be well below it.
 */
export const RETURN_PAUSE_MAX_MS = 600_000
export const RETURN_PAUSE_MIN_MS = 500
/** More than one: a message that fails by itself is only found out when another one succeeds. */
const RETURN_PREFETCH = 10
/**
 * Queries in hand. The others wait on the queue, where the broker drops them at their deadline, and where another replica can
 * take them. One whose deadline is counted from its arrival here is worked on for nothing at most.
 */
const QUERY_PREFETCH_MAX = 64
/** Longest deadline that is looked at: what an operator can set. */
const EXPIRATION_MAX_MS = 3_600_000

export interface ConsumerParts<Body, Result> {
  readonly contract: Contract<Body, Result>
  readonly handler: Handler<Body, Result>
  readonly connection: Supervised<Connection>
  readonly publisher: Publisher
  /** Has a connection of its own, so that large replies hold up no dead letter. */
  readonly replies: Publisher
  /** On the same connection. */
  readonly refusals: Pick<Requester, 'refuse'>
  readonly addresses: ReplyAddresses
  readonly rabbitmq: RabbitmqConfig
  readonly config: ConsumerConfig
  readonly service: Service
  /** Why the handler's dependency cannot be used, in one sentence; undefined when it can. */
  readonly dependency: () => Promise<string | undefined>
}

export class Consumer<Body, Result> {
  readonly #parts: ConsumerParts<Body, Result>
  readonly #channel: Supervised<ConfirmChannel>
  readonly #stop: OwnScope
  readonly #inHand: InHand<Body>
  #session: Session | undefined
  readonly #working = new Set<Promise<void>>()
  readonly #telling: Telling<Body, Result>
  /** What is wrong with the batch in hand, or with the dependency. */
  #trouble: string | undefined
  /** The queue is left until the dependency answers: how often in a row that was necessary. */
  #away: Promise<void> | undefined
  #timesAway = 0
  /** When the handler last gave an outcome, by the clock. */
  #lastToldMs = Number.NEGATIVE_INFINITY
  #closing: Promise<void> | undefined
  readonly #inHandMaxBytes: number
  readonly #prefetch: number
  /** Set while nothing is read, because too much is in hand. */
  #readOn: (() => void) | undefined

  constructor(parts: ConsumerParts<Body, Result>) {
    this.#parts = parts
    this.#stop = new OwnScope(clockOf(parts.service))
    const { contract, connection, rabbitmq, service } = parts
    const setting = { variable: 'CONSUMER_IN_HAND_MOST_BYTES', configured: parts.config.inHandMostBytes }
    const cost = { costBytes: COST_OF_BYTE_IN_HAND, mostUseful: IN_HAND_MAX_BYTES }
    this.#inHandMaxBytes =
      service.memory?.limit('messagesInHand', setting, cost) ?? setting.configured ?? IN_HAND_MAX_BYTES
    zeroConsumed(service.meter, contract)
    this.#inHand = new InHand(contract.queue, service.meter, () => this.#left())
    this.#prefetch =
      contract.kind === 'query' ? Math.min(QUERY_PREFETCH_MAX, parts.config.prefetch) : parts.config.prefetch
    // The rest is for others: whoever refuses to hear must not keep them waiting.
    const hearing = { most: Math.ceil(this.#prefetch / 2), mostBytes: this.#inHandMaxBytes / 4 }
    this.#telling = new Telling({ ...parts, inHand: this.#inHand, hearing, scope: this.#stop })
    const name = `subscription to ${contract.queue}`
    this.#channel = superviseChannel(connection, name, rabbitmq, service, (channel, lost) => this.#begin(channel, lost))
  }

  /** Resolves when messages can arrive. Rejects with Misconfigured, or when `signal` aborts. */
  async subscribed(signal: AbortSignal): Promise<void> {
    await this.#channel.whenOpen(signal)
  }

  notReady(): string | undefined {
    return this.#channel.notReady() ?? this.#trouble ?? this.#telling.notReady()
  }

  /** Stops taking messages, lets the batch in hand end and settles it, gives the rest back, and closes the channel. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    await this.#cancel()
    await Promise.all(this.#working)
    await this.#telling.done()
    await this.#away
    this.#inHand.leave('give back', this.#inHand.untold())
    await this.#channel.close()
  }

  async #begin(channel: ConfirmChannel, lost: (reason: Error) => void): Promise<void> {
    const { contract, rabbitmq } = this.#parts
    const session: Session = { channel, over: new AbortController(), consumerTags: [] }
    channel.on('close', () => {
      // The next session is bounded by itself, although what is judged or told of this one may still fill our share.
      this.#readOnNow()
      this.#inHand.sessionOver(session)
    })
    await ensureQueue(channel, contract.queue, rabbitmq.topology)
    await ensureQueue(channel, deadLetterQueue(contract.queue), rabbitmq.topology)
    this.#session = session
    if (this.#away === undefined) await this.#subscribe(session, lost)
  }

  /** Few messages at first where the last ones could not be applied: only their deliveries are counted if they still cannot. */
  async #subscribe(session: Session, lost: (reason: Error) => void): Promise<void> {
    const { contract } = this.#parts
    const { channel } = session
    const consumerTag = this.#stop.clock.uuid()
    session.consumerTags.push(consumerTag)
    await channel.prefetch(this.#timesAway > 0 ? Math.min(RETURN_PREFETCH, this.#prefetch) : this.#prefetch)
    // The queue may have been left before the broker answered.
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

  /** Reads on once half of what may be in hand is free. */
  #left(): void {
    if (this.#inHand.bytes <= this.#inHandMaxBytes / 2) this.#readOnNow()
    this.#startWork()
  }

  #readOnNow(): void {
    this.#readOn?.()
    this.#readOn = undefined
  }

  #arrived(message: ConsumeMessage, session: Session): void {
    const { contract, config, service } = this.#parts
    service.meter.count('messages_consumed', { queue: contract.queue })
    // Read on arrival, which is while the database works on the batch before.
    const read = readMessage(contract, message, config.messageMostBytes)
    const expiresAtMs = this.#stop.clock.nowMs() + waitMsOf(contract, message)
    this.#inHand.add({ message, session, read, question: questionOf(contract, read), expiresAtMs })
    if (this.#inHand.bytes > this.#inHandMaxBytes) this.#readOn ??= pauseReading(session.channel)
    this.#startWork()
  }

  /**
   * Commands are handled in one batch after the other, so that the messages of a queue keep their order. A query changes nothing:
   * several are handled at a time, each by itself.
   */
  #startWork(): void {
    const { contract, config } = this.#parts
    if (this.#stop.signal.aborted || this.#working.size >= (contract.kind === 'query' ? config.queriesMost : 1)) return
    if (this.#inHand.waiting(1).length === 0) return
    const working = this.#work().finally(() => {
      this.#working.delete(working)
      if (this.#isRoomForReplies()) this.#startWork()
    })
    this.#working.add(working)
  }

  /** Works until nothing is at hand. */
  async #work(): Promise<void> {
    for (;;) {
      // What arrived with the same read of the socket belongs in the same batch.
      await new Promise<void>((resolve) => this.#stop.clock.afterRead(resolve))
      if (this.#stop.signal.aborted) return
      const batch = this.#nextBatch()
      if (batch.length === 0) return
      await this.#settleBatch(batch)
    }
  }

  /** Of queries, those that ask the same; none while the replies that wait to be sent are as large as they may be. */
  #nextBatch(): Held<Body>[] {
    const { contract, config } = this.#parts
    if (contract.kind === 'command') return this.#inHand.waiting(config.batchMost)
    for (const held of this.#inHand.waiting(Number.POSITIVE_INFINITY))
      if (held.expiresAtMs < this.#stop.clock.nowMs()) this.#drop(held, 'expired')
      else if (!('kind' in held.read) && !isReplyAddress(held.message.properties.replyTo))
        this.#drop(held, 'no-reply-address')
    return this.#isRoomForReplies() ? this.#inHand.waitingAlike(config.batchMost) : []
  }

  #isRoomForReplies(): boolean {
    return this.#inHand.replyBytes < this.#parts.config.repliesMostBytes
  }

  /** Acks a query that nobody can be replied to: there is nothing else to do for it. */
  #drop(held: Held<Body>, reason: 'expired' | 'no-reply-address'): void {
    const { contract, service } = this.#parts
    const { messageId, replyTo: address } = held.message.properties
    service.meter.count('queries_dropped', { queue: contract.queue, reason })
    if (reason === 'no-reply-address')
      service.log.warn({ queue: contract.queue, messageId, address }, 'no proper address to reply to: query dropped')
    this.#inHand.leave('ack', [held])
  }

  /** Messages may join `batch` while it fails with an unknown error. */
  async #settleBatch(batch: Held<Body>[]): Promise<void> {
    const { contract, service } = this.#parts
    const labels = { queue: contract.queue }
    service.meter.observe('batch_size_messages', batch.length, labels)
    const since = this.#stop.clock.nowMs()
    const outcomes = await this.#judge(batch)
    service.meter.observe('batch_duration_seconds', (this.#stop.clock.nowMs() - since) / 1000, labels)
    service.meter.observe('messages_held', 0, labels)
    const told = batch.flatMap((held, index) => {
      const outcome = outcomes[index]
      return outcome === undefined ? [] : [{ held, outcome }]
    })
    for (const { held, outcome } of told) if (outcome.kind === 'answered') held.replyBytes = outcome.body.length
    if (told.length > 0) this.#lastToldMs = this.#stop.clock.nowMs()
    await this.#telling.tell(told)
    const untold = batch.filter(({ step }) => step === 'judging')
    if (this.#lastToldMs < since) return await this.#goAway(untold)
    // Some could be applied: the dependency is there, and what is wrong with the others may pass.
    this.#inHand.leave('give back', untold)
    this.#trouble = undefined
    this.#backToNormal()
  }

  /** One outcome for each message; undefined when it could not be told in time, its channel was lost, or we are to stop. */
  async #judge(batch: Held<Body>[]): Promise<readonly (Outcome<Result> | undefined)[]> {
    const { contract, handler, config, service } = this.#parts
    let why: string | undefined
    const trouble = (sentence: string | undefined) => {
      why = sentence ?? why
      this.#trouble = sentence
    }
    const deliveriesIn = (some: readonly Held<Body>[]) => {
      for (const held of some) held.step = 'judging'
      return some.map(({ read }) => read).filter((read): read is Delivery<Body> => !('kind' in read))
    }
    const more = () => {
      // One other query is enough to tell, and has to wait for the outcome.
      const joining = this.#inHand.waiting(contract.kind === 'query' ? 1 : config.batchMost - batch.length)
      batch.push(...joining)
      return deliveriesIn(joining)
    }
    const deliveries = deliveriesIn(batch)
    const parts = { queue: contract.queue, handler, config, service, trouble, more }
    const told = deliveries.length === 0 ? [] : await outcomesOf(deliveries, parts, this.#givenUp(batch))
    if (told.includes(undefined)) this.#trouble = why
    const next = told.values()
    return batch.map(({ read }) => ('kind' in read ? read : next.next().value))
  }

  #givenUp(batch: readonly Held[]): AbortSignal {
    return AbortSignal.any([this.#stop.signal, ...batch.slice(0, 1).map(({ session }) => session.over.signal)])
  }

  /**
   * Gives everything back that nothing was told of, and leaves the queue until the dependency answers: the queue is where
   * messages wait, and another replica may be able to do them. Also when the channel is gone: each return counts toward the delivery
   * limit, and a new subscription would take the messages again at once.
   */
  async #goAway(batch: readonly Held<Body>[]): Promise<void> {
    if (this.#stop.signal.aborted) {
      this.#trouble = undefined
      return this.#inHand.leave('give back', batch)
    }
    await this.#cancel()
    // Queries that are handled at the same time end by themselves.
    const leaving = new Set([...batch, ...this.#inHand.waiting(Number.POSITIVE_INFINITY)])
    this.#inHand.leave(
      'give back',
      this.#inHand.untold().filter((held) => leaving.has(held)),
    )
    this.#away ??= this.#comeBack().finally(() => {
      this.#away = undefined
    })
  }

  async #comeBack(): Promise<void> {
    const { contract, config, dependency, service } = this.#parts
    const fields = { queue: contract.queue }
    service.log.warn(fields, `left the queue ${contract.queue} until its messages can be applied: ${this.#trouble}`)
    const growing = Math.min(RETURN_PAUSE_MAX_MS, RETURN_PAUSE_MIN_MS * 4 ** this.#timesAway)
    this.#timesAway += 1
    await this.#stop.pause(growing * (0.5 + this.#stop.clock.random() / 2))
    for (let attempt = 1; !this.#stop.signal.aborted; attempt += 1) {
      const why = await dependency()
      if (why === undefined) break
      this.#trouble = `not consuming ${contract.queue}: ${why}`
      await this.#stop.backOff(attempt, config.retryMostMs)
    }
    if (this.#stop.signal.aborted) return
    service.log.info(fields, `consuming ${contract.queue} again`)
    this.#trouble = undefined
    this.#away = undefined
    await this.#resubscribe(0)
  }

  /** On the channel there is, unless it subscribed by itself. A channel on which that fails is closed, and opened anew. */
  async #resubscribe(subscriptions: number): Promise<void> {
    const session = this.#session
    if (session === undefined || session.over.signal.aborted || session.consumerTags.length > subscriptions) return
    const lost = () => void session.channel.close().catch(() => {})
    await this.#subscribe(session, lost).catch(lost)
  }

  /**
   * After the first message that was applied again, as many as ever are taken: by a second subscription, because a broker that
   * ends the first one puts back what is on its way, behind what comes later. It is not waited for: while too much is in hand the
   * broker's answers are not read, and only our work makes that less.
   */
  #backToNormal(): void {
    if (this.#timesAway === 0) return
    this.#timesAway = 0
    void this.#resubscribe(1)
  }
}

/** Kept for each query in hand: one with longer headers is answered by itself. */
const QUESTION_MAX_LENGTH = 1_000

function questionOf({ kind }: Contract, read: Delivery | Refused): string | undefined {
  if (kind === 'command' || 'kind' in read) return undefined
  const question = read.fingerprint + JSON.stringify(read.headers)
  return question.length <= QUESTION_MAX_LENGTH ? question : undefined
}

/** The time for which the sender of this query waits: counted from here, so that their clock need not be right. */
function waitMsOf({ kind }: Contract, { properties }: ConsumeMessage): number {
  const expirationMs = Number(properties.expiration ?? Number.NaN)
  return kind === 'query' && expirationMs <= EXPIRATION_MAX_MS ? expirationMs : Number.POSITIVE_INFINITY
}
