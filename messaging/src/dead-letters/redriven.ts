// Redrives dead letters: builds the redriven message, and publishes it in a transaction.
import { hash } from 'node:crypto'
import type { Channel, Message } from 'amqplib'
import type { RabbitmqConfig } from '../config.ts'
import { type Connection, closeConnection, openFirstConnection } from '../connection/connection.ts'
import { channelEnd, transactional } from '../connection/inside-amqplib.ts'
import { contracts } from '../contracts.ts'
import { asError } from '../errors.ts'
import { carried, FRAME_MIN_BYTES, headerRoom, usableId } from '../incoming/carried.ts'
import { LETTER_ID_HEADER } from '../incoming/dead-letter.ts'
import type { Envelope } from '../outgoing/publisher.ts'
import { HEARS_REFUSALS_HEADER } from '../outgoing/reply.ts'
import { type Clock, clockOf, Scope, withDeadline } from '../scope.ts'
import type { Service } from '../service.ts'
import { idOf } from './described.ts'
import { DeadLettersUnavailable } from './errors.ts'
import { type Asking, OutcomeCount, type Outcomes, type OutcomesWanted } from './outcomes.ts'
import { explained } from './reader.ts'
import { printable } from './text.ts'

/** Headers of consumers and of the broker that describe the previous failure. Without them, attempts are counted from 0 again. */
const DROPPED_HEADERS = new Set([
  'x-reason',
  'x-error',
  'x-failed-at',
  'x-consumer',
  'x-attempts',
  'x-dropped',
  LETTER_ID_HEADER,
  'x-death',
  'x-delivery-count',
  'x-acquired-count',
  HEARS_REFUSALS_HEADER,
])
const DROPPED_PREFIXES = ['x-first-death-', 'x-last-death-']

/**
 * The redriven message: the same bytes, properties and id, without properties that cannot be encoded again or would route
 * it elsewhere. A message without an id gets the id of its dead letter. The original requester no longer waits for a reply,
 * so `asking` replaces its reply properties.
 */
export function redriven(queue: string, message: Message, frameMax: number, asking: Asking = {}): Envelope {
  const { headers, properties } = carried({ ...message.properties, replyTo: undefined }, headerRoom(frameMax))
  const kept = Object.entries(headers).filter(
    ([name]) => !DROPPED_HEADERS.has(name) && !DROPPED_PREFIXES.some((prefix) => name.startsWith(prefix)),
  )
  return {
    queue,
    content: message.content,
    properties: {
      ...properties,
      ...asking,
      messageId: idOf(message),
      persistent: true,
      mandatory: true,
      headers: Object.fromEntries(kept),
    },
  }
}

/** Remembering this many messages is enough. A message is dead-lettered twice if its ack was lost, so copies are close together. */
const KNOWN_MAX = 10_000

/**
 * Detects copies of an earlier message by id, number of redrives and content. Copies are redriven as one. A message
 * without an id of its own never counts as a copy.
 */
export function recogniseCopies(): (message: Message) => boolean {
  const known = new Set<string>()
  return ({ content, properties }) => {
    const messageId = usableId(properties)
    if (messageId === undefined) return false
    const { headers } = properties
    const redrives: unknown = headers?.['x-redrives']
    const key = hash(
      'sha256',
      JSON.stringify([messageId, typeof redrives === 'number' ? redrives : 0, hash('sha256', content)]),
    )
    if (known.has(key)) return true
    const [oldest] = known
    if (oldest !== undefined && known.size >= KNOWN_MAX) known.delete(oldest)
    known.add(key)
    return false
  }
}

/** Why a window could not be published, and how many of its messages may be on the queue nevertheless. */
export interface NotPublished {
  readonly trouble: DeadLettersUnavailable
  readonly maybeSent: number
}

export interface Republisher {
  /** Publishes messages to `queue`, all or none, unless the queue is full. Resolves when the broker has stored them, or with the reason why not. Never rejects. */
  publish(messages: readonly Message[]): Promise<NotPublished | undefined>
  /** The outcomes of all published messages, when all are reported or the timeout is over. Undefined if they were not requested. */
  outcomes(): Promise<Outcomes> | undefined
  close(): Promise<void>
}

/** A broker that takes longer than this to store a window counts as unresponsive. */
const COMMIT_TIMEOUT_MS = 60_000

/**
 * Opens a connection for publishing to `queue`. It is separate from the reader's connection, because the broker stops
 * reading from a publishing connection during a memory or disk alarm.
 */
export async function openRepublisher(
  queue: string,
  config: RabbitmqConfig,
  service: Service,
  wanted?: OutcomesWanted,
): Promise<Republisher> {
  const opened = new RabbitmqRepublisher(queue, config.confirmTimeoutMs, clockOf(service), wanted)
  try {
    await opened.open(config, service)
    return opened
  } catch (error) {
    await opened.close()
    throw explained(queue, error)
  }
}

/** RabbitMQ's error when a queue rejected a message of a transaction. It has stored the others. */
const REJECTED = /partial tx completion/

/**
 * Publishes each window in a transaction. During an alarm the broker stops reading. Without a transaction, it would store
 * the messages after the alarm, when this process has already given up. The commit is sent only after the broker has read
 * all messages. Without the commit, the broker drops them.
 */
class RabbitmqRepublisher implements Republisher {
  readonly #queue: string
  readonly #readTimeoutMs: number
  readonly #clock: Clock
  #connection: Connection | undefined
  #channel: Channel | undefined
  #commit: () => Promise<void> = async () => {}
  #trouble: DeadLettersUnavailable | undefined
  readonly #wanted: OutcomesWanted | undefined
  readonly #count: OutcomeCount | undefined

  constructor(queue: string, readTimeoutMs: number, clock: Clock, wanted: OutcomesWanted | undefined) {
    const contract = contracts.find((each) => each.queue === queue)
    // Outcomes of queries are not requested, because the reply to a query may be the whole list.
    this.#count = wanted && contract?.kind === 'command' ? new OutcomeCount(contract) : undefined
    this.#wanted = wanted
    this.#clock = clock
    this.#queue = queue
    this.#readTimeoutMs = readTimeoutMs
  }

  async open(config: RabbitmqConfig, service: Service): Promise<void> {
    const lost = (reason: Error) => {
      this.#trouble ??= this.#explain(reason)
      this.#count?.end()
    }
    this.#connection = await openFirstConnection(config, `${service.name} redriving to ${this.#queue}`, service, lost)
    this.#channel = await this.#connection.model.createChannel()
    this.#channel.on('error', lost)
    this.#channel.on('close', () => lost(new Error('the channel was closed')))
    // The broker returns a message before it responds to the commit.
    this.#channel.on('return', () => {
      this.#trouble ??= this.#unroutable()
    })
    this.#commit = await transactional(this.#channel)
    await this.#count?.attach(this.#channel)
  }

  async publish(messages: readonly Message[]): Promise<NotPublished | undefined> {
    const stored = Promise.withResolvers<boolean>()
    const failed = await this.#publish(messages, this.#count?.expect(messages.length, stored.promise) ?? [])
    stored.resolve(failed === undefined)
    return failed
  }

  async #publish(messages: readonly Message[], asking: readonly Asking[]): Promise<NotPublished | undefined> {
    let maybeSent = 0
    try {
      if (this.#trouble || this.#channel === undefined) throw this.#trouble
      if (messages.length === 0) return undefined
      for (const [at, message] of messages.entries()) this.#write(message, asking[at])
      await withDeadline(this.#clock, this.#channel.checkQueue(this.#queue), this.#readTimeoutMs, 'publishing')
      if (this.#trouble) throw this.#trouble
      maybeSent = messages.length
      await withDeadline(this.#clock, this.#commit(), COMMIT_TIMEOUT_MS, 'storing the messages')
      if (this.#trouble) throw this.#trouble
      return undefined
    } catch (error) {
      this.#trouble ??= this.#explain(error)
      return { trouble: this.#trouble, maybeSent }
    }
  }

  outcomes(): Promise<Outcomes> | undefined {
    const { signal, withinMs } = this.#wanted ?? {}
    return signal && this.#count?.reported(new Scope(this.#clock, signal).part([], withinMs))
  }

  #write(message: Message, asking: Asking | undefined): void {
    const { frameMax = FRAME_MIN_BYTES } = this.#connection ?? {}
    const { queue, content, properties } = redriven(this.#queue, message, frameMax, asking)
    try {
      this.#channel?.publish('', queue, content, properties)
    } catch (error) {
      // amqplib throws before it writes anything: the channel is closing, or a header cannot be encoded again.
      const why = printable(asError(error).message)
      throw new DeadLettersUnavailable('unconfirmed', `the message ${printable(idOf(message))} cannot be sent: ${why}`)
    }
  }

  #unroutable(): DeadLettersUnavailable {
    const what = `the broker has no queue ${this.#queue} to redrive to: start its consumer, or declare it`
    return new DeadLettersUnavailable('unroutable', what)
  }

  #explain(error: unknown): DeadLettersUnavailable {
    const ended = this.#channel && channelEnd(this.#channel)
    const reason = explained(this.#queue, ended ?? error)
    if (REJECTED.test(reason.message))
      return new DeadLettersUnavailable(
        'unconfirmed',
        `${this.#queue} rejects messages: its length is limited, and it is full`,
      )
    if (reason.trouble === 'no-queue') return this.#unroutable()
    if (ended !== undefined || reason === error) return reason
    const blocked = this.#connection?.blocked
    const why = blocked === undefined ? '' : ` (it blocks publishing: ${blocked})`
    return new DeadLettersUnavailable('unconfirmed', `the broker did not accept the messages${why}: ${reason.message}`)
  }

  async close(): Promise<void> {
    this.#trouble ??= new DeadLettersUnavailable('disconnected', 'closed')
    if (this.#connection) await closeConnection(this.#connection)
  }
}
