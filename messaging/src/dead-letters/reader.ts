// Reads a dead-letter queue from its oldest message on, in windows, and returns in order whatever was not removed.
import type { Channel, ConsumeMessage } from 'amqplib'
import { z } from 'zod'
import type { RabbitmqConfig } from '../config.ts'
import { type Connection, closeConnection, openFirstConnection } from '../connection/connection.ts'
import { deadLetterQueue } from '../contract.ts'
import { type Clock, clockOf, withDeadline } from '../scope.ts'
import type { Service } from '../service.ts'
import { DeadLettersUnavailable } from './errors.ts'

/** A window is at most this long, and shorter when messages are large: what is held in memory is bounded. */
const WINDOW_MOST = 1_000
const WINDOW_FIRST = 50
const WINDOW_BYTES = 8 * 1_024 * 1_024

/**
 * A channel holds at most so many kept messages, then another is opened: to ack one message the broker goes through those
 * that are unacked before it.
 */
const KEPT_PER_CHANNEL_MOST = 1_000

/** So long without a message, the broker is asked whether there are any left. */
const QUIET_MS = 500
/** So long without one although there are some, it is given up. */
const SILENT_MOST_MS = 30_000
const CLOSE_TIMEOUT_MS = 60_000

const NO_BODY = Buffer.alloc(0)

/** Two who begin at the same moment see each other and both step back; one of them is first the next time. */
const ATTEMPTS_MOST = 3
const ATTEMPT_AGAIN_MS = 200

export interface DeadLetterReader {
  /** Dead letters that were ready when the reader was opened: it reads so many, not those that come meanwhile. */
  readonly total: number
  /** The next messages, oldest first; none when the end is reached. The window before is settled by then. */
  window(): Promise<readonly ConsumeMessage[]>
  /**
   * Removes messages of the latest window; the others are kept. Resolves when the broker has done it, rejects with
   * DeadLettersUnavailable when nobody can tell. Once for each window.
   */
  remove(messages: readonly ConsumeMessage[]): Promise<void>
  /** Removed for the caller, but not told the broker before `flushed`. */
  readonly putOff: readonly ConsumeMessage[]
  /**
   * Resolves when what was put off is removed as well, with how many there are on the queue then, those that came
   * meanwhile included; rejects with DeadLettersUnavailable when nobody can tell.
   */
  flushed(): Promise<number>
  /** Returns what was kept to its place in the queue, and closes the connection. Never rejects. */
  close(): Promise<void>
}

/**
 * Opens a reader of `<queue>.dead-letter` with a connection of its own.
 * @throws DeadLettersUnavailable: no such queue, somebody else reads it, not permitted, no broker
 */
export async function openReader(queue: string, config: RabbitmqConfig, service: Service): Promise<DeadLetterReader> {
  const clock = clockOf(service)
  for (let attempt = 1; ; attempt += 1) {
    const reader = new Reader(deadLetterQueue(queue), clock)
    try {
      await reader.open(config, service)
      return reader
    } catch (error) {
      await reader.close()
      const isBusy = error instanceof DeadLettersUnavailable && error.trouble === 'busy'
      if (!isBusy || attempt === ATTEMPTS_MOST) throw error
      await new Promise<void>((resolve) => clock.after(ATTEMPT_AGAIN_MS * (1 + clock.random()), resolve))
    }
  }
}

/** A channel with the consumers that are on it and what it must give back. */
interface Lane {
  readonly channel: Channel
  readonly consumerTags: Set<string>
  /** The last message of each run of kept ones that came to the same consumer. */
  readonly kept: ConsumeMessage[]
  keptCount: number
}

class Reader implements DeadLetterReader {
  total = 0
  putOff: readonly ConsumeMessage[] = []
  readonly #queue: string
  readonly #clock: Clock
  readonly #arrived: ConsumeMessage[] = []
  /** The first is the anchor's; windows come on the last one. */
  readonly #lanes: Lane[] = []
  /** The oldest message: it came to the anchor. */
  #anchored: ConsumeMessage | undefined
  /** The latest window, not settled yet. */
  #open: readonly ConsumeMessage[] = []
  #seen = 0
  #windowMost = WINDOW_FIRST
  #connection: Connection | undefined
  #lost: DeadLettersUnavailable | undefined
  #wake: () => void = () => {}

  constructor(queue: string, clock: Clock) {
    this.#queue = queue
    this.#clock = clock
  }

  async open(config: RabbitmqConfig, service: Service): Promise<void> {
    try {
      const lost = (reason: Error) => this.#fail(reason)
      this.#connection = await openFirstConnection(config, `${service.name} reading ${this.#queue}`, service, lost)
      const anchor = await this.#newLane(this.#connection)
      this.total = (await anchor.channel.checkQueue(this.#queue)).messageCount
      await this.#standAlone(anchor)
      await this.#newLane(this.#connection)
    } catch (error) {
      throw explained(this.#queue, error)
    }
  }

  async #newLane({ model }: Connection): Promise<Lane> {
    const channel = await model.createChannel()
    channel.on('error', (error: Error) => this.#fail(error))
    channel.on('close', () => this.#fail(new Error('the channel was closed')))
    const lane = { channel, consumerTags: new Set<string>(), kept: [], keptCount: 0 }
    this.#lanes.push(lane)
    return lane
  }

  /**
   * Takes the oldest message, and with it the place of the one reader, for as long as the reader lives: quorum queues do
   * not enforce exclusive consumers, so whoever sees a second consumer steps back.
   */
  async #standAlone(anchor: Lane): Promise<void> {
    await this.#subscribe(anchor, 1)
    const { consumerCount } = await anchor.channel.checkQueue(this.#queue)
    if (consumerCount > 1)
      throw new DeadLettersUnavailable(
        'busy',
        `somebody else is reading ${this.#queue} (${consumerCount - 1} other consumers): wait until that has ended, or end it`,
      )
    if (this.total > 0) await this.#arrivals(anchor.channel, 1)
    this.#anchored = this.#arrived[0]
  }

  async window(): Promise<readonly ConsumeMessage[]> {
    this.#keep(this.#open)
    this.#open = []
    const wanted = Math.min(this.#windowMost, this.total - this.#seen)
    if (wanted <= 0) return []
    if (this.#arrived.length < wanted) await this.#fetch(wanted)
    this.#open = this.#arrived.splice(0, wanted)
    this.#seen += this.#open.length
    if (this.#open.length < wanted) this.total = this.#seen // somebody removed the others
    const largest = Math.max(1, ...this.#open.map(({ content }) => content.length))
    this.#windowMost = Math.max(1, Math.min(WINDOW_MOST, 2 * this.#windowMost, Math.floor(WINDOW_BYTES / largest)))
    return this.#open
  }

  /**
   * A consumer for each window, cancelled when it has brought as many as asked for: those that are not removed stay
   * unacked until the end, and what comes into memory is bounded all the same.
   */
  async #fetch(wanted: number): Promise<void> {
    try {
      if (this.#lost) throw this.#lost
      const lane = await this.#laneForWindow()
      const consumerTag = await this.#subscribe(lane, wanted - this.#arrived.length)
      await this.#arrivals(lane.channel, wanted)
      await this.#cancel(lane, consumerTag)
    } catch (error) {
      throw this.#lost ?? explained(this.#queue, error)
    }
  }

  async #laneForWindow(): Promise<Lane> {
    const latest = this.#lanes.at(-1)
    if (this.#connection === undefined || latest === undefined) throw new Error('the reader is not open')
    return latest.keptCount < KEPT_PER_CHANNEL_MOST ? latest : await this.#newLane(this.#connection)
  }

  async #subscribe({ channel, consumerTags }: Lane, most: number): Promise<string> {
    await channel.prefetch(most)
    const { consumerTag } = await channel.consume(this.#queue, (message) => this.#take(message))
    consumerTags.add(consumerTag)
    return consumerTag
  }

  async #cancel({ channel, consumerTags }: Lane, consumerTag: string): Promise<void> {
    await channel.cancel(consumerTag)
    consumerTags.delete(consumerTag)
  }

  /** Resolves when `wanted` messages are there, or the queue has no more. */
  async #arrivals(channel: Channel, wanted: number): Promise<void> {
    let silentSince = this.#clock.nowMs()
    while (this.#arrived.length < wanted) {
      if (this.#lost) throw this.#lost
      const before = this.#arrived.length
      await this.#arrivalWithin(QUIET_MS)
      if (this.#arrived.length > before) silentSince = this.#clock.nowMs()
      else if ((await channel.checkQueue(this.#queue)).messageCount === 0 && this.#arrived.length === before) return
      else if (this.#clock.nowMs() - silentSince > SILENT_MOST_MS)
        throw new DeadLettersUnavailable('disconnected', `the broker delivers nothing of ${this.#queue}`)
    }
  }

  #arrivalWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const clear = this.#clock.after(ms, resolve)
      this.#wake = () => {
        clear()
        resolve()
      }
    })
  }

  #take(message: ConsumeMessage | null): void {
    if (message === null) this.#fail(new Error(`${this.#queue} was deleted`))
    else this.#arrived.push(message)
    this.#wake()
  }

  async remove(messages: readonly ConsumeMessage[]): Promise<void> {
    const gone = new Set(messages)
    try {
      this.#ack(gone)
      const kept = this.#open.filter((message) => !gone.has(message))
      this.#open = []
      this.#keep(kept)
      // The broker does what it is told on a channel in order: an answer means that everything before was done.
      await this.#lanes.at(-1)?.channel.checkQueue(this.#queue)
    } catch (error) {
      throw this.#lost ?? explained(this.#queue, error)
    }
  }

  #ack(gone: Set<ConsumeMessage>): void {
    // The anchor's is put off: acked, it would make room for another one, out of turn.
    if (this.#anchored && gone.has(this.#anchored)) this.putOff = [this.#anchored]
    const latest = this.#lanes.at(-1)
    const own = this.#open.filter((message) => message !== this.#anchored)
    const firstKept = own.findIndex((message) => !gone.has(message))
    // One ack for all up to here, which is right only while everything before them on this channel is gone as well.
    const together = latest?.keptCount !== 0 ? 0 : firstKept === -1 ? own.length : firstKept
    const last = own[together - 1]
    if (last) latest?.channel.ack(last, true)
    for (const message of own.slice(together)) if (gone.has(message)) latest?.channel.ack(message)
  }

  async flushed(): Promise<number> {
    try {
      if (this.#lost) throw this.#lost
      await this.#removePutOff()
      this.#keep(this.#open)
      this.#open = []
      const ready = (await this.#lanes[0]?.channel.checkQueue(this.#queue))?.messageCount ?? 0
      return this.#lanes.reduce((count, { keptCount }) => count + keptCount, ready + this.#arrived.length)
    } catch (error) {
      throw this.#lost ?? explained(this.#queue, error)
    }
  }

  async #removePutOff(): Promise<void> {
    const [anchor] = this.#lanes
    const [message] = this.putOff
    if (anchor === undefined || message === undefined) return
    for (const consumerTag of anchor.consumerTags) await this.#cancel(anchor, consumerTag)
    anchor.channel.ack(message)
    this.putOff = []
  }

  /** Notes where runs end, and forgets the bodies. */
  #keep(messages: readonly ConsumeMessage[]): void {
    for (const message of messages) {
      const { fields, properties } = message
      const lane = message === this.#anchored ? this.#lanes[0] : this.#lanes.at(-1)
      if (lane === undefined) continue
      if (lane.kept.at(-1)?.fields.consumerTag === fields.consumerTag) lane.kept.pop()
      lane.kept.push({ fields, properties, content: NO_BODY })
      lane.keptCount += 1
    }
  }

  /**
   * Cancels first, so that nothing comes back to us, then returns run by run, oldest first: a quorum queue puts what is
   * returned in the order in which it is. With nack: RabbitMQ 4.3 counts it toward no delivery limit, as it would a
   * channel that closes with messages in hand.
   */
  async close(): Promise<void> {
    if (this.#lost === undefined)
      await withDeadline(this.#clock, this.#giveBack(), CLOSE_TIMEOUT_MS, 'returning the messages').catch(() => {})
    this.#lost ??= new DeadLettersUnavailable('disconnected', 'the reader is closed')
    if (this.#connection) await closeConnection(this.#connection)
  }

  async #giveBack(): Promise<void> {
    for (const lane of this.#lanes) for (const consumerTag of lane.consumerTags) await this.#cancel(lane, consumerTag)
    await this.#removePutOff()
    this.#keep(this.#open.concat(this.#arrived))
    for (const { channel, kept } of this.#lanes) {
      for (const message of kept) channel.nack(message, true, true)
      await channel.checkQueue(this.#queue)
    }
  }

  #fail(reason: Error): void {
    this.#lost ??= explained(this.#queue, reason)
    this.#wake()
  }
}

const failure = z.object({ code: z.union([z.number(), z.string()]).optional(), message: z.string() })

/** What went wrong with `queue`, in a sentence for the operator. */
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
