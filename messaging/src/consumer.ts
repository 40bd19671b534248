// Takes messages off a queue in batches and settles each one: the only file that acks.
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { outcomesOf } from './attempts.ts'
import { backoffMs, pause, withDeadline } from './backoff.ts'
import type { ConsumerConfig, RabbitmqConfig } from './config.ts'
import { type Connection, superviseChannel } from './connection.ts'
import { type Contract, deadLetterQueue } from './contract.ts'
import type { Delivery, Handler, Outcome } from './handler.ts'
import type { Envelope, Publisher } from './publisher.ts'
import type { Service } from './service.ts'
import { deadLetter, type Refused, readMessage, replyTo } from './settle.ts'
import type { Supervised } from './supervised.ts'
import { ensureQueue } from './topology.ts'
import { zeroConsumed } from './zero-counts.ts'

/** One life of the channel. Acks belong to the channel their message came from: with its end, its messages are the broker's again. */
interface Session {
  readonly channel: ConfirmChannel
  readonly over: AbortController
  consumerTag: string
}

/** A message that is ours to settle, as long as its session lasts, and what it says. */
interface Taken<Body = unknown> {
  readonly message: ConsumeMessage
  readonly session: Session
  readonly read: Delivery<Body> | Refused
}

const CANCEL_TIMEOUT_MS = 1_000
/** The default of RPC_TIMEOUT_MS: a reply that comes later is mostly of no use to anyone. */
const REPLY_WAITS_MOST_MS = 30_000

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
}

export class Consumer<Body, Result> {
  readonly #parts: ConsumerParts<Body, Result>
  readonly #channel: Supervised<ConfirmChannel>
  readonly #stop = new AbortController()
  /** Replies under way: their messages are acked when the broker has the reply, while the next batch goes on. */
  readonly #replying = new Set<Promise<void>>()
  #taken: Taken<Body>[] = []
  #session: Session | undefined
  #working: Promise<void> | undefined
  #trouble: string | undefined
  #closing: Promise<void> | undefined

  constructor(parts: ConsumerParts<Body, Result>) {
    this.#parts = parts
    const { contract, connection, rabbitmq, service } = parts
    zeroConsumed(service.meter, contract.queue)
    const name = `subscription to ${contract.queue}`
    this.#channel = superviseChannel(connection, name, rabbitmq, service, (channel, lost) =>
      this.#subscribe(channel, lost),
    )
  }

  /** Resolves when messages can arrive. Rejects with Misconfigured, or when `signal` aborts. */
  async subscribed(signal: AbortSignal): Promise<void> {
    await this.#channel.whenOpen(signal)
  }

  notReady(): string | undefined {
    return this.#channel.notReady() ?? this.#trouble
  }

  /** Stops taking messages, lets the batch in hand end and settles it, hands the rest back, and closes the channel. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    const session = this.#session
    if (session && !session.over.signal.aborted) {
      const cancelled = session.channel.cancel(session.consumerTag)
      await withDeadline(cancelled, CANCEL_TIMEOUT_MS, 'cancelling the subscription').catch(() => {})
    }
    await this.#working
    await Promise.all(this.#replying)
    for (const taken of this.#taken.splice(0)) this.#handBack(taken)
    await this.#channel.close()
  }

  async #subscribe(channel: ConfirmChannel, lost: (reason: Error) => void): Promise<void> {
    const { contract, config, rabbitmq } = this.#parts
    const session: Session = { channel, over: new AbortController(), consumerTag: '' }
    channel.on('close', () => this.#sessionOver(session))
    await ensureQueue(channel, contract.queue, rabbitmq.topology)
    await ensureQueue(channel, deadLetterQueue(contract.queue), rabbitmq.topology)
    await channel.prefetch(config.prefetch)
    this.#session = session
    const { consumerTag } = await channel.consume(contract.queue, (message) => {
      // RabbitMQ cancels a consumer whose queue is deleted (https://www.rabbitmq.com/docs/consumer-cancel).
      if (message === null) lost(new Error(`the broker cancelled the subscription to ${contract.queue}`))
      else this.#arrived(message, session)
    })
    session.consumerTag = consumerTag
  }

  #sessionOver(session: Session): void {
    session.over.abort()
    this.#taken = this.#taken.filter((taken) => taken.session !== session)
  }

  #arrived(message: ConsumeMessage, session: Session): void {
    const { contract, config, service } = this.#parts
    service.meter.count('messages_consumed', { queue: contract.queue })
    // Read on arrival, which is while the database works on the batch before.
    this.#taken.push({ message, session, read: readMessage(contract, message, config.messageMostBytes) })
    this.#begin()
  }

  #begin(): void {
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
      if (this.#taken.length > 0 && !this.#stop.signal.aborted) this.#begin()
    })
  }

  /** Works until nothing is at hand. One batch after the other, so that the messages of a queue keep their order. */
  async #work(): Promise<void> {
    for (;;) {
      // What arrived with the same read of the socket belongs in the same batch.
      await new Promise(setImmediate)
      if (this.#stop.signal.aborted) return
      // All of one session: what was taken on an earlier channel went with it (#sessionOver).
      const batch = this.#taken.splice(0, this.#parts.config.batchMost)
      if (batch.length === 0) return
      await this.#settleBatch(batch)
    }
  }

  /** Messages may join `batch` while it fails for an unknown reason. */
  async #settleBatch(batch: Taken<Body>[]): Promise<void> {
    const { contract, service } = this.#parts
    const labels = { queue: contract.queue }
    service.meter.observe('batch_size_messages', batch.length, labels)
    const since = performance.now()
    const outcomes = await this.#outcomes(batch)
    service.meter.observe('batch_duration_seconds', (performance.now() - since) / 1000, labels)
    service.meter.observe('messages_held', 0, labels)
    if (outcomes === undefined) for (const taken of batch) this.#handBack(taken)
    else await this.#carryOut(batch.map((taken, index) => ({ taken, outcome: outcomes[index] ?? missing() })))
  }

  /** One outcome for each message; undefined when they could not be told before the session ended or we were to stop. */
  async #outcomes(batch: Taken<Body>[]): Promise<readonly Outcome<Result>[] | undefined> {
    const { contract, handler, config, service } = this.#parts
    const trouble = (sentence: string | undefined) => {
      this.#trouble = sentence
    }
    const more = () => {
      const joining = this.#taken.splice(0, Math.max(0, config.batchMost - batch.length))
      batch.push(...joining)
      return deliveriesIn(joining)
    }
    const deliveries = deliveriesIn(batch)
    const parts = { queue: contract.queue, handler, config, service, trouble, more }
    const told = deliveries.length === 0 ? [] : await outcomesOf(deliveries, parts, this.#givenUp(batch))
    const next = told?.values()
    return next && batch.map(({ read }) => ('kind' in read ? read : (next.next().value ?? missing())))
  }

  #givenUp(batch: readonly Taken[]): AbortSignal {
    return AbortSignal.any([this.#stop.signal, ...batch.slice(0, 1).map(({ session }) => session.over.signal)])
  }

  async #carryOut(settled: readonly { taken: Taken; outcome: Outcome<Result> }[]): Promise<void> {
    for (const { outcome } of settled) this.#count(outcome)
    const last = settled.at(-1)
    // Batches end one after the other: unless a reply is under way every earlier message is settled, and one ack does for all.
    const plain = settled.every(({ taken, outcome }) => outcome.kind === 'applied' && !wantsReply(taken))
    if (plain && last && this.#replying.size === 0) this.#ack(last.taken, true)
    else await Promise.all(settled.map(({ taken, outcome }) => this.#carryOutOne(taken, outcome)))
  }

  #count(outcome: Outcome<Result>): void {
    const { contract, service } = this.#parts
    const queue = contract.queue
    if (outcome.kind === 'refused') service.meter.count('messages_dead_lettered', { queue, reason: outcome.reason })
    else if (outcome.kind === 'applied' && outcome.repeated) service.meter.count('messages_duplicates', { queue })
    else service.meter.count('messages_applied', { queue })
  }

  async #carryOutOne(taken: Taken, outcome: Outcome<Result>): Promise<void> {
    if (outcome.kind === 'refused' && !(await this.#setAside(taken, outcome))) return this.#handBack(taken)
    if (!wantsReply(taken) && outcome.kind !== 'answered') return this.#ack(taken, false)
    const replied: Promise<void> = this.#reply(taken, outcome).then(() => {
      this.#ack(taken, false)
      this.#replying.delete(replied)
    })
    this.#replying.add(replied)
  }

  /** Publishes the dead letter until the broker has confirmed it; false when the session ended or we were to stop before. */
  async #setAside(taken: Taken, refused: Refused): Promise<boolean> {
    const { contract, publisher, config, service } = this.#parts
    const { messageId } = taken.message.properties
    const fields = { queue: contract.queue, messageId, reason: refused.reason, error: refused.error }
    const envelope = deadLetter(contract, taken.message, refused, { consumer: service.name, at: new Date() })
    const givenUp = this.#givenUp([taken])
    for (let attempt = 1; !taken.session.over.signal.aborted; attempt += 1) {
      try {
        await publisher.send(envelope)
        service.log.warn(fields, 'message refused: it is among the dead letters')
        this.#trouble = undefined
        return true
      } catch (error) {
        this.#trouble = `cannot dead-letter a message of ${contract.queue}: ${sentence(error)}`
        service.log.error(fields, this.#trouble)
        await pause(backoffMs(attempt, config.retryMostMs), givenUp)
        if (givenUp.aborted) return false
      }
    }
    return false
  }

  /**
   * Replies if asked to. The effect is durable by now: a requester who is gone is logged, and no reason to do it again. A
   * connection to reply on and room for the reply are waited for: after a restart of the broker requests may come before there is one.
   */
  async #reply({ message, session }: Taken, outcome: Outcome<Result>): Promise<void> {
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

  #ack({ message, session }: Taken, allUpTo: boolean): void {
    this.#onChannel(session, () => session.channel.ack(message, allUpTo))
  }

  /**
   * Gives a message back to the broker, untouched or not told of. With nack, since this is no failure of its own: RabbitMQ
   * 4.3 counts a reject toward the delivery limit, but not a nack (https://www.rabbitmq.com/docs/quorum-queues).
   */
  #handBack({ message, session }: Taken): void {
    this.#onChannel(session, () => session.channel.nack(message, false, true))
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

const deliveriesIn = <Body>(batch: readonly Taken<Body>[]): Delivery<Body>[] =>
  batch.map(({ read }) => read).filter((read): read is Delivery<Body> => !('kind' in read))

const wantsReply = ({ message }: Taken): boolean => message.properties.replyTo !== undefined

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function missing(): never {
  throw new Error('a message without an outcome')
}
