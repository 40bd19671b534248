// Takes messages off a queue in batches and settles each one: the only file that acks.
import { randomUUID } from 'node:crypto'
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { backoffMs, pause, withDeadline } from '../backoff.ts'
import type { ConsumerConfig, RabbitmqConfig } from '../config.ts'
import { type Connection, superviseChannel } from '../connection/connection.ts'
import type { Supervised } from '../connection/supervised.ts'
import { ensureQueue } from '../connection/topology.ts'
import { type Contract, deadLetterQueue } from '../contract.ts'
import type { Delivery, Handler, Outcome } from '../handler.ts'
import type { Envelope, Publisher } from '../outgoing/publisher.ts'
import type { Service } from '../service.ts'
import { zeroConsumed } from '../zero-counts.ts'
import { outcomesOf } from './attempts.ts'
import { deadLetter, type Refused, readMessage, replyTo } from './settle.ts'

/** One life of the channel. Acks belong to the channel their message came from: with its end, its messages are the broker's again. */
interface Session {
  readonly channel: ConfirmChannel
  readonly over: AbortController
  /** Ours, so that it is known before the broker answers; undefined while the queue is not consumed. */
  consumerTag: string | undefined
}

/**
 * A message in hand, from its arrival until it leaves: acked, given back, or gone with its channel. `waiting`: for the batch in
 * hand to end · `judging`: the handler has it · `telling`: it is judged, and its dead letter or reply is under way.
 */
interface InHand<Body = unknown> {
  readonly message: ConsumeMessage
  readonly session: Session
  readonly read: Delivery<Body> | Refused
  step: 'waiting' | 'judging' | 'telling'
}

type Exit = 'ack' | 'give back'

const CANCEL_TIMEOUT_MS = 1_000
/** The default of RPC_TIMEOUT_MS: a reply that comes later is mostly of no use to anyone. */
const REPLY_WAITS_MOST_MS = 30_000
/**
 * Longest pause before the queue is consumed again while the dependency answers, but the messages fail all the same. Each try
 * counts toward the delivery limit of quorum queues before RabbitMQ 4.3, which is 20: an hour must be well below it.
 */
const RETURN_PAUSE_MAX_MS = 300_000
const RETURN_PAUSE_MIN_MS = 500
/** More than one: a message that fails by itself is only found out when another one succeeds. */
const RETURN_PREFETCH = 10

export interface ConsumerParts<Body, Result> {
  readonly contract: Contract<Body, Result>
  readonly handler: Handler<Body, Result>
  readonly connection: Supervised<Connection>
  readonly publisher: Publisher
  /** Has a connection of its own, so that large replies hold up no dead letter. */
  readonly replies: Publisher
  readonly rabbitmq: RabbitmqConfig
  readonly config: ConsumerConfig
  readonly service: Service
  /** Why the handler's dependency cannot be used, in one sentence; undefined when it can. */
  readonly dependency: () => Promise<string | undefined>
}

export class Consumer<Body, Result> {
  readonly #parts: ConsumerParts<Body, Result>
  readonly #channel: Supervised<ConfirmChannel>
  readonly #stop = new AbortController()
  /** In the order of arrival. Whatever is said of messages is computed from this. */
  readonly #inHand = new Set<InHand<Body>>()
  #session: Session | undefined
  #working: Promise<void> | undefined
  /** Replies under way, while the next batch goes on. */
  readonly #telling = new Set<Promise<void>>()
  /** What is wrong with the batch in hand, or with the dependency. */
  #trouble: string | undefined
  /** The queue is left until the dependency answers: how often in a row that was necessary. */
  #away: Promise<void> | undefined
  #timesAway = 0
  #closing: Promise<void> | undefined

  constructor(parts: ConsumerParts<Body, Result>) {
    this.#parts = parts
    const { contract, connection, rabbitmq, service } = parts
    zeroConsumed(service.meter, contract.queue)
    const name = `subscription to ${contract.queue}`
    this.#channel = superviseChannel(connection, name, rabbitmq, service, (channel, lost) => this.#begin(channel, lost))
  }

  /** Resolves when messages can arrive. Rejects with Misconfigured, or when `signal` aborts. */
  async subscribed(signal: AbortSignal): Promise<void> {
    await this.#channel.whenOpen(signal)
  }

  notReady(): string | undefined {
    return this.#channel.notReady() ?? this.#trouble
  }

  /** Stops taking messages, lets the batch in hand end and settles it, gives the rest back, and closes the channel. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    await this.#cancel()
    await this.#working
    await Promise.all(this.#telling)
    await this.#away
    this.#leave('give back', [...this.#inHand])
    await this.#channel.close()
  }

  async #begin(channel: ConfirmChannel, lost: (reason: Error) => void): Promise<void> {
    const { contract, rabbitmq } = this.#parts
    const session: Session = { channel, over: new AbortController(), consumerTag: undefined }
    channel.on('close', () => {
      session.over.abort()
      for (const inHand of this.#inHand)
        if (inHand.session === session && inHand.step === 'waiting') this.#inHand.delete(inHand)
    })
    await ensureQueue(channel, contract.queue, rabbitmq.topology)
    await ensureQueue(channel, deadLetterQueue(contract.queue), rabbitmq.topology)
    this.#session = session
    if (this.#away === undefined) await this.#subscribe(session, lost)
  }

  /** Few messages at first where the last ones could not be applied: only their deliveries are counted if they still cannot. */
  async #subscribe(session: Session, lost: (reason: Error) => void): Promise<void> {
    const { contract, config } = this.#parts
    const { channel } = session
    const consumerTag = randomUUID()
    session.consumerTag = consumerTag
    await channel.prefetch(this.#timesAway > 0 ? Math.min(RETURN_PREFETCH, config.prefetch) : config.prefetch)
    const arrived = (message: ConsumeMessage | null) => {
      // RabbitMQ cancels a consumer whose queue is deleted (https://www.rabbitmq.com/docs/consumer-cancel).
      if (message === null) lost(new Error(`the broker cancelled the subscription to ${contract.queue}`))
      else this.#arrived(message, session)
    }
    await channel.consume(contract.queue, arrived, { consumerTag })
  }

  async #cancel(): Promise<void> {
    const { channel, over, consumerTag } = this.#session ?? {}
    if (channel === undefined || consumerTag === undefined || over?.signal.aborted) return
    if (this.#session) this.#session.consumerTag = undefined
    await withDeadline(channel.cancel(consumerTag), CANCEL_TIMEOUT_MS, 'cancelling the subscription').catch(() => {})
  }

  #arrived(message: ConsumeMessage, session: Session): void {
    const { contract, config, service } = this.#parts
    service.meter.count('messages_consumed', { queue: contract.queue })
    // Read on arrival, which is while the database works on the batch before.
    const read = readMessage(contract, message, config.messageMostBytes)
    this.#inHand.add({ message, session, read, step: 'waiting' })
    this.#startWork()
  }

  #startWork(): void {
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
      if (!this.#stop.signal.aborted && this.#waiting(1).length > 0) this.#startWork()
    })
  }

  /** Works until nothing is at hand. One batch after the other, so that the messages of a queue keep their order. */
  async #work(): Promise<void> {
    for (;;) {
      // What arrived with the same read of the socket belongs in the same batch.
      await new Promise(setImmediate)
      if (this.#stop.signal.aborted) return
      const batch = this.#waiting(this.#parts.config.batchMost)
      if (batch.length === 0) return
      await this.#settleBatch(batch)
    }
  }

  /** The oldest that wait. Those of a channel that is gone left with it, so all are of one session. */
  #waiting(most: number): InHand<Body>[] {
    const waiting: InHand<Body>[] = []
    for (const inHand of this.#inHand) {
      if (waiting.length >= most) break
      if (inHand.step === 'waiting') waiting.push(inHand)
    }
    return waiting
  }

  /** Messages may join `batch` while it fails with an unknown error. */
  async #settleBatch(batch: InHand<Body>[]): Promise<void> {
    const { contract, service } = this.#parts
    const labels = { queue: contract.queue }
    service.meter.observe('batch_size_messages', batch.length, labels)
    const since = performance.now()
    const outcomes = await this.#judge(batch)
    service.meter.observe('batch_duration_seconds', (performance.now() - since) / 1000, labels)
    service.meter.observe('messages_held', 0, labels)
    const told = batch.flatMap((inHand, index) => {
      const outcome = outcomes[index]
      return outcome === undefined ? [] : [{ inHand, outcome }]
    })
    await this.#tell(told)
    const untold = batch.filter(({ step }) => step === 'judging')
    if (told.length === 0) return await this.#goAway(untold)
    // Some could be applied: the dependency is there, and what is wrong with the others may pass.
    this.#leave('give back', untold)
    this.#trouble = undefined
    await this.#backToNormal()
  }

  /** One outcome for each message; undefined when it could not be told in time, its channel was lost, or we are to stop. */
  async #judge(batch: InHand<Body>[]): Promise<readonly (Outcome<Result> | undefined)[]> {
    const { contract, handler, config, service } = this.#parts
    let why: string | undefined
    const trouble = (sentence: string | undefined) => {
      why = sentence ?? why
      this.#trouble = sentence
    }
    const deliveriesIn = (some: readonly InHand<Body>[]) => {
      for (const inHand of some) inHand.step = 'judging'
      return some.map(({ read }) => read).filter((read): read is Delivery<Body> => !('kind' in read))
    }
    const more = () => {
      const joining = this.#waiting(config.batchMost - batch.length)
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

  #givenUp(batch: readonly InHand[]): AbortSignal {
    return AbortSignal.any([this.#stop.signal, ...batch.slice(0, 1).map(({ session }) => session.over.signal)])
  }

  /**
   * Gives everything back that nothing was told of, and leaves the queue until the dependency answers: the queue is where
   * messages wait, and another replica may be able to do them. Nothing of it happens when the channel is gone or we stop.
   */
  async #goAway(batch: readonly InHand<Body>[]): Promise<void> {
    if (this.#givenUp(batch).aborted) {
      this.#trouble = undefined
      return this.#leave('give back', batch)
    }
    await this.#cancel()
    this.#leave(
      'give back',
      [...this.#inHand].filter(({ step }) => step !== 'telling'),
    )
    this.#away = this.#comeBack().finally(() => {
      this.#away = undefined
    })
  }

  async #comeBack(): Promise<void> {
    const { contract, config, dependency, service } = this.#parts
    const fields = { queue: contract.queue }
    service.log.warn(fields, `left the queue ${contract.queue} until its messages can be applied: ${this.#trouble}`)
    const growing = Math.min(RETURN_PAUSE_MAX_MS, RETURN_PAUSE_MIN_MS * 4 ** this.#timesAway)
    this.#timesAway += 1
    await pause(growing * (0.5 + Math.random() / 2), this.#stop.signal)
    for (let attempt = 1; !this.#stop.signal.aborted; attempt += 1) {
      const why = await dependency()
      if (why === undefined) break
      this.#trouble = `not consuming ${contract.queue}: ${why}`
      await pause(backoffMs(attempt, config.retryMostMs), this.#stop.signal)
    }
    if (this.#stop.signal.aborted) return
    service.log.info(fields, `consuming ${contract.queue} again`)
    this.#trouble = undefined
    this.#away = undefined
    await this.#resubscribe()
  }

  /** On the channel there is; a new one subscribes by itself. A channel on which that fails is closed, and opened anew. */
  async #resubscribe(): Promise<void> {
    const session = this.#session
    if (session === undefined || session.over.signal.aborted || session.consumerTag !== undefined) return
    const lost = () => void session.channel.close().catch(() => {})
    await this.#subscribe(session, lost).catch(lost)
  }

  /** After the first message that was applied again, as many as ever are taken. */
  async #backToNormal(): Promise<void> {
    if (this.#timesAway === 0) return
    this.#timesAway = 0
    await this.#cancel()
    await this.#resubscribe()
  }

  async #tell(settled: readonly { inHand: InHand<Body>; outcome: Outcome<Result> }[]): Promise<void> {
    for (const { inHand, outcome } of settled) {
      inHand.step = 'telling'
      this.#count(outcome)
    }
    const isPlain = settled.every(({ inHand, outcome }) => outcome.kind === 'applied' && !wantsReply(inHand))
    if (isPlain)
      this.#leave(
        'ack',
        settled.map(({ inHand }) => inHand),
      )
    else await Promise.all(settled.map(({ inHand, outcome }) => this.#tellOne(inHand, outcome)))
  }

  #count(outcome: Outcome<Result>): void {
    const { contract, service } = this.#parts
    const queue = contract.queue
    if (outcome.kind === 'refused') service.meter.count('messages_dead_lettered', { queue, reason: outcome.reason })
    else if (outcome.kind === 'applied' && outcome.repeated) service.meter.count('messages_duplicates', { queue })
    else service.meter.count('messages_applied', { queue })
  }

  async #tellOne(inHand: InHand<Body>, outcome: Outcome<Result>): Promise<void> {
    if (outcome.kind === 'refused' && !(await this.#setAside(inHand, outcome)))
      return this.#leave('give back', [inHand])
    if (!wantsReply(inHand) && outcome.kind !== 'answered') return this.#leave('ack', [inHand])
    const told: Promise<void> = this.#reply(inHand, outcome).then(() => {
      this.#leave('ack', [inHand])
      this.#telling.delete(told)
    })
    this.#telling.add(told)
  }

  /** Publishes the dead letter until the broker has confirmed it; false when the session ended or we were to stop before. */
  async #setAside(inHand: InHand, refused: Refused): Promise<boolean> {
    const { contract, publisher, config, service } = this.#parts
    const { messageId } = inHand.message.properties
    const fields = { queue: contract.queue, messageId, reason: refused.reason, error: refused.error }
    const failure = { consumer: service.name, at: new Date() }
    const givenUp = this.#givenUp([inHand])
    for (let attempt = 1; !inHand.session.over.signal.aborted; attempt += 1) {
      try {
        const { frameMax } = publisher
        const letter = deadLetter(contract, inHand.message, refused, { ...failure, frameMax })
        await publisher.deliver(letter, this.#stop.signal)
        service.log.warn(fields, 'message refused: it is among the dead letters')
        this.#trouble = undefined
        return true
      } catch (error) {
        this.#trouble = `cannot dead-letter a message of ${contract.queue}: ${sentence(error)}`
        service.log.error(fields, this.#trouble)
        await pause(backoffMs(attempt, config.retryMostMs), givenUp)
        if (givenUp.aborted) break
      }
    }
    this.#trouble = undefined
    return false
  }

  /**
   * Replies if asked to. The effect is durable by now: a requester who is gone is logged, and no reason to do it again. A
   * connection to reply on and room for the reply are waited for: after a restart of the broker requests may come before there is one.
   */
  async #reply({ message, session }: InHand, outcome: Outcome<Result>): Promise<void> {
    const { contract, replies, service } = this.#parts
    const { messageId, replyTo: address } = message.properties
    const labels = { queue: contract.queue }
    const envelope: Envelope | undefined = replyTo(contract, message, outcome)
    if (envelope === undefined)
      return service.log.warn({ ...labels, messageId, address }, 'no proper address to reply to')
    const givenUp = AbortSignal.any([this.#stop.signal, session.over.signal, AbortSignal.timeout(REPLY_WAITS_MOST_MS)])
    try {
      await replies.tell(envelope, givenUp)
      service.meter.count('replies_sent', labels)
    } catch (error) {
      service.meter.count('replies_unroutable', labels)
      service.log.warn({ ...labels, messageId }, `reply not delivered: ${sentence(error)}`)
    }
  }

  /**
   * The one way out. Messages are given back with nack, since this is no failure of their own: RabbitMQ 4.3 counts a reject
   * toward the delivery limit, but not a nack (https://www.rabbitmq.com/docs/quorum-queues).
   */
  #leave(exit: Exit, wanted: readonly InHand<Body>[]): void {
    const upToLast = exit === 'ack' && this.#areAllUpTo(wanted)
    const leaving = wanted.filter((inHand) => this.#inHand.delete(inHand))
    const last = leaving.at(-1)
    if (last === undefined) return
    for (const { message, session } of upToLast ? [last] : leaving) {
      const { channel } = session
      this.#onChannel(session, () =>
        exit === 'ack' ? channel.ack(message, upToLast) : channel.nack(message, false, true),
      )
    }
  }

  /** Whether nothing that arrived before the last of these stays in hand, so that one ack does for all. */
  #areAllUpTo(leaving: readonly InHand<Body>[]): boolean {
    const last = leaving.at(-1)
    let count = 0
    for (const inHand of this.#inHand) {
      if (inHand.session === last?.session) count += 1
      if (inHand === last) break
    }
    return count === leaving.length
  }

  /** A stale ack, of a message whose channel is gone, is dropped and counted: the broker delivers the message again. */
  #onChannel(session: Session, settle: () => void): void {
    const { contract, service } = this.#parts
    try {
      if (session.over.signal.aborted) throw new Error('the channel is gone')
      settle() // amqplib throws when the channel began to close and its close event is yet to come
    } catch {
      service.meter.count('stale_acks_dropped', { queue: contract.queue })
    }
  }
}

const wantsReply = ({ message }: InHand): boolean => message.properties.replyTo !== undefined

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))
