// Reads a dead-letter queue in windows, oldest message first, and requeues in order everything that was not removed.
import { collectGarbage } from '@ims/runtime/collect-garbage'
import type { Channel, Message } from 'amqplib'
import { z } from 'zod'
import type { RabbitmqConfig } from '../config.ts'
import { type Connection, closeConnection, openFirstConnection } from '../connection/connection.ts'
import { deadLetterQueue } from '../contract.ts'
import { bytesOfValue } from '../incoming/carried.ts'
import { type Clock, clockOf, OwnScope, Scope, withDeadline } from '../scope.ts'
import type { Service } from '../service.ts'
import { DeadLettersUnavailable } from './errors.ts'

/** The maximum number of messages in a window. Large messages reduce it (`config.deadLetterWindowBytes`). */
const WINDOW_MAX = 1_000

/**
 * A quorum queue keeps the order of requeued messages only while few commands of a channel are in flight. Beyond 32,
 * its client groups them by consumer (rabbit_fifo_client, SOFT_LIMIT). With at most 16 nacks, a channel stays below that.
 */
const RUNS_PER_CHANNEL_MAX = 16

/** The reader fails if no message arrives for this long although the queue should have more. */
const SILENT_MAX_MS = 10_000
const REQUEUE_TIMEOUT_MS = 60_000
/** How long to wait until a quorum queue counts the requeued messages again. It never does if another consumer has taken them. */
const VISIBLE_TIMEOUT_MS = 5_000
const VISIBLE_AGAIN_MS = 10

/** The queue is locked by a killed reader until the broker detects the lost connection, so a busy queue is retried. */
const ATTEMPTS_MAX = 3
const ATTEMPT_AGAIN_MS = 300

const NO_BODY = Buffer.alloc(0)
/** Garbage is collected after this many bytes were dropped. V8 alone might keep several bodies of 15 MiB, which exceed a service's memory. */
const FREED_FROM_BYTES = 4 * 1_048_576

export interface DeadLetterReader {
  /** Number of dead letters when the reader was opened. The reader does not read later ones. */
  readonly total: number
  /** The next messages, oldest first. Empty at the end. Messages of the previous window that were not removed are kept. */
  window(): Promise<readonly Message[]>
  /** Removes messages of the latest window. Call once per window. */
  remove(messages: readonly Message[]): Promise<void>
  /** The number of messages on the queue now, including new ones. Nothing can be read afterwards. */
  left(): Promise<number>
  /** Requeues the kept messages in their original order, and closes the connection. Never rejects. */
  close(): Promise<void>
}

/**
 * Opens the reader of `<queue>.dead-letter` on its own connection. Each queue can have only one open reader.
 * @throws DeadLettersUnavailable if the queue does not exist, is in use or may not be read, or the broker is unreachable
 */
export async function openReader(queue: string, config: RabbitmqConfig, service: Service): Promise<DeadLetterReader> {
  const clock = clockOf(service)
  for (let attempt = 1; ; attempt += 1) {
    const reader = new Reader(deadLetterQueue(queue), config.deadLetterWindowBytes, clock)
    try {
      await reader.open(config, service)
      return reader
    } catch (error) {
      await reader.close()
      const isBusy = error instanceof DeadLettersUnavailable && error.trouble === 'busy'
      if (!isBusy || attempt === ATTEMPTS_MAX || service.stopping.aborted) throw error
      await new Scope(clock, service.stopping).pause(ATTEMPT_AGAIN_MS)
    }
  }
}

/** A channel, and the last kept message of each window. */
interface Lane {
  readonly channel: Channel
  readonly kept: Message[]
}

class Reader implements DeadLetterReader {
  total = 0
  readonly #queue: string
  readonly #windowBytes: number
  readonly #clock: Clock
  /** The last lane delivers the windows. */
  readonly #lanes: Lane[] = []
  #keptCount = 0
  /** The oldest message, until the first window returns it. */
  #oldest: Message | undefined
  /** The latest window, until its messages are removed or kept. */
  #open: readonly Message[] = []
  #seen = 0
  #windowMax = 1
  /** The size of the latest window, in bytes. It counts as dropped when the next window is read. */
  #latestBytes = 0
  /** The size of messages that are no longer referenced, but may not be freed yet. */
  #droppedBytes = 0
  #connection: Connection | undefined
  #lost: DeadLettersUnavailable | undefined
  #wake: () => void = () => {}

  constructor(queue: string, windowBytes: number, clock: Clock) {
    this.#clock = clock
    this.#queue = queue
    this.#windowBytes = windowBytes
  }

  async open(config: RabbitmqConfig, service: Service): Promise<void> {
    try {
      const lost = (reason: Error) => this.#fail(reason)
      this.#connection = await openFirstConnection(config, `${service.name} reading ${this.#queue}`, service, lost)
      const { channel } = await this.#newLane()
      await this.#claim(channel)
      // A quorum queue updates the count in queue.declare-ok late, so the count of basic.get is used, which is exact.
      const oldest = await channel.get(this.#queue)
      if (oldest === false) return
      this.#oldest = oldest
      this.total = 1 + oldest.fields.messageCount
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /**
   * Locks the dead-letter queue with an exclusive queue, because quorum queues do not support exclusive consumers. The
   * exclusive queue is deleted with the connection, after all messages were requeued.
   */
  async #claim(channel: Channel): Promise<void> {
    const { consumerCount } = await channel.checkQueue(this.#queue)
    if (consumerCount > 0) throw this.#busy()
    await channel.assertQueue(`${this.#queue}.reader`, { exclusive: true, durable: false })
  }

  async #newLane(): Promise<Lane> {
    if (this.#connection === undefined) throw new Error('the reader is not open')
    const channel = await this.#connection.model.createChannel()
    channel.on('error', (error: Error) => this.#fail(error))
    channel.on('close', () => this.#fail(new Error('the channel was closed')))
    const lane = { channel, kept: [] }
    this.#lanes.push(lane)
    return lane
  }

  /** The last lane if it can take another window, otherwise a new one. Acks and requeues of a window must not affect earlier windows. */
  async #laneFor(wanted: number): Promise<Lane> {
    const latest = this.#lanes.at(-1)
    const room = wanted === 1 ? RUNS_PER_CHANNEL_MAX : 1
    return latest && latest.kept.length < room ? latest : await this.#newLane()
  }

  async window(): Promise<readonly Message[]> {
    this.#keepOpen()
    this.#dropped(this.#latestBytes)
    this.#latestBytes = 0
    const wanted = Math.min(this.#windowMax, this.total - this.#seen)
    if (wanted === 0) return []
    try {
      this.#open = this.#oldest ? [this.#oldest] : await this.#fetch(wanted)
    } catch (error) {
      this.#fail(error)
      throw this.#explain(error)
    }
    this.#oldest = undefined
    this.#seen += this.#open.length
    const weights = this.#open.map((message) => this.#weightOf(message))
    this.#latestBytes = weights.reduce((sum, each) => sum + each, 0)
    const fitting = Math.max(1, Math.floor(this.#windowBytes / Math.max(...weights)))
    this.#windowMax = Math.min(WINDOW_MAX, 2 * this.#windowMax, fitting)
    return this.#open
  }

  /**
   * Starts a consumer for each window, and cancels it after the requested number of messages. Kept messages stay
   * unacknowledged until the reader closes. A window that exceeds the byte limit is requeued as a whole, and then a shorter
   * one is read.
   */
  async #fetch(wanted: number): Promise<readonly Message[]> {
    const { channel } = await this.#laneFor(wanted)
    const arrived: Message[] = []
    let [bytes, fitting] = [0, 0]
    await channel.prefetch(wanted)
    const { consumerTag } = await channel.consume(this.#queue, (message) => {
      if (message === null) return this.#fail(new Error(`${this.#queue} was deleted`))
      const weight = this.#weightOf(message)
      bytes += weight
      if (bytes <= this.#windowBytes || fitting === 0) fitting += 1
      const fits = fitting > arrived.length
      arrived.push(fits ? message : withoutBody(message))
      if (!fits) this.#dropped(weight)
      this.#wake()
    })
    while (arrived.length < wanted) await this.#arrival()
    await channel.cancel(consumerTag)
    const last = arrived.at(-1)
    if (fitting === wanted || last === undefined) return arrived
    channel.nack(last, true, true)
    await this.#visible(channel, this.total - this.#seen)
    this.#windowMax = fitting
    return await this.#fetch(fitting)
  }

  async #arrival(): Promise<void> {
    if (this.#lost) throw this.#lost
    const arrival = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    await withDeadline(this.#clock, arrival, SILENT_MAX_MS, 'the next message').catch(() => {
      const missing = `${this.#queue} delivers fewer messages than it had at the start`
      throw new DeadLettersUnavailable(
        'busy',
        `${missing}: another client consumes or purges it. Run the command again`,
      )
    })
  }

  async remove(messages: readonly Message[]): Promise<void> {
    const [window, gone] = [this.#open, new Set(messages)]
    const lane = this.#lanes.at(-1)
    try {
      const firstKept = window.findIndex((message) => !gone.has(message))
      // One ack for all messages before the first kept one. This is only possible if the channel has no kept messages yet.
      const together = lane?.kept.length !== 0 ? 0 : firstKept === -1 ? window.length : firstKept
      const last = window[together - 1]
      if (last) lane?.channel.ack(last, true)
      for (const message of window.slice(together)) if (gone.has(message)) lane?.channel.ack(message)
      this.#open = []
      this.#keep(window.filter((message) => !gone.has(message)))
      // A response means that the broker has read the acks.
      await lane?.channel.checkQueue(this.#queue)
    } catch (error) {
      throw this.#explain(error)
    }
  }

  async left(): Promise<number> {
    try {
      this.#keepAll()
      const { channel } = await this.#laneFor(1)
      const next = await channel.get(this.#queue)
      if (next === false) return this.#keptCount
      this.#keep([next])
      return this.#keptCount + next.fields.messageCount
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /** Keeps the messages on the queue. Records only the last one, without its body. */
  #keep(messages: readonly Message[]): void {
    const last = messages.at(-1)
    if (last === undefined) return
    this.#keptCount += messages.length
    this.#lanes.at(-1)?.kept.push(withoutBody(last))
  }

  /** A separate method, because its caller's stack frame would keep the bodies in memory while the next window is read. */
  #keepOpen(): void {
    this.#keep(this.#open)
    this.#open = []
  }

  #keepAll(): void {
    this.#keepOpen()
    if (this.#oldest) this.#keep([this.#oldest])
    this.#oldest = undefined
  }

  #dropped(bytes: number): void {
    this.#droppedBytes += bytes
    if (this.#droppedBytes < FREED_FROM_BYTES) return
    this.#droppedBytes = 0
    collectGarbage()
  }

  async close(): Promise<void> {
    if (this.#lost === undefined)
      await withDeadline(this.#clock, this.#requeue(), REQUEUE_TIMEOUT_MS, 'requeuing the messages').catch(() => {})
    this.#dropped(this.#latestBytes)
    this.#lost ??= new DeadLettersUnavailable('disconnected', 'the reader is closed')
    if (this.#connection) await closeConnection(this.#connection)
  }

  /**
   * Requeues window by window, oldest first, because a quorum queue stores requeued messages in the order in which they
   * arrive. Uses nack, because RabbitMQ 4.3 does not count a nack toward the delivery limit. It does count the end of a
   * channel, for each message that is still unacknowledged.
   */
  async #requeue(): Promise<void> {
    this.#keepAll()
    const [first] = this.#lanes
    if (first === undefined || this.#keptCount === 0) return
    const { messageCount } = await first.channel.checkQueue(this.#queue)
    for (const { channel, kept } of this.#lanes) {
      for (const last of kept) channel.nack(last, true, true)
      await channel.checkQueue(this.#queue)
    }
    await this.#visible(first.channel, messageCount + this.#keptCount)
  }

  /** Waits until the queue has this many messages. A quorum queue requeues asynchronously, and the next reader must find all of them. */
  async #visible(channel: Channel, messages: number): Promise<void> {
    const scope = new OwnScope(this.#clock).part([], VISIBLE_TIMEOUT_MS)
    while ((await channel.checkQueue(this.#queue)).messageCount < messages && !scope.isOver)
      await scope.pause(VISIBLE_AGAIN_MS)
  }

  #weightOf({ content, properties }: Message): number {
    const headers = bytesOfValue(properties.headers ?? {}, 1)
    return content.length + (Number.isNaN(headers) ? (this.#connection?.frameMax ?? 0) : headers)
  }

  #busy(): DeadLettersUnavailable {
    return new DeadLettersUnavailable(
      'busy',
      `${this.#queue} is in use by another reader: wait until it has finished, or stop it, and run the command again`,
    )
  }

  #explain(error: unknown): DeadLettersUnavailable {
    if (failure.safeParse(error).data?.code === RESOURCE_LOCKED) return this.#busy()
    return this.#lost ?? explained(this.#queue, error)
  }

  #fail(reason: unknown): void {
    this.#lost ??= explained(this.#queue, reason)
    this.#wake()
  }
}

const withoutBody = ({ fields, properties }: Message): Message => ({ fields, properties, content: NO_BODY })

const RESOURCE_LOCKED = 405
const failure = z.object({ code: z.union([z.number(), z.string()]).optional(), message: z.string() })

/** The error of an operation on `queue`, with a message for the operator. */
export function explained(queue: string, error: unknown): DeadLettersUnavailable {
  if (error instanceof DeadLettersUnavailable) return error
  const { code, message } = failure.safeParse(error).data ?? { message: String(error) }
  if (code === 404) return new DeadLettersUnavailable('no-queue', `the broker has no queue ${queue}`, { cause: error })
  if (code === 403 || /ACCESS.REFUSED/.test(message))
    return new DeadLettersUnavailable('not-permitted', `the broker refuses access to ${queue}: ${message}`, {
      cause: error,
    })
  return new DeadLettersUnavailable('disconnected', `no connection to the broker: ${message}`, { cause: error })
}
