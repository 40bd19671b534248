// Reads a dead-letter queue from its oldest message on, in windows, and returns in order whatever was not removed.
import type { Channel, ConsumeMessage } from 'amqplib'
import { z } from 'zod'
import { withDeadline } from './backoff.ts'
import type { RabbitmqConfig } from './config.ts'
import { closeConnection, openConnection } from './connection.ts'
import { deadLetterQueue } from './contract.ts'
import { DeadLettersUnavailable } from './dead-letters-errors.ts'
import type { Service } from './service.ts'

/** A window is at most this long, and shorter when messages are large: what is held in memory is bounded. */
const WINDOW_MOST = 1_000
const WINDOW_FIRST = 50
const WINDOW_BYTES = 8 * 1_024 * 1_024

/** So long without a message, the broker is asked whether there are any left. */
const QUIET_MS = 500
/** So long without one although there are some, it is given up. */
const SILENT_MOST_MS = 30_000
const CLOSE_TIMEOUT_MS = 5_000

/** Two who begin at the same moment see each other and both step back; one of them is first the next time. */
const ATTEMPTS_MOST = 3
const ATTEMPT_AGAIN_MS = 200

export interface DeadLetterReader {
  /** Dead letters that were ready when the reader was opened: it reads so many, not those that come meanwhile. */
  readonly total: number
  /** The next messages, oldest first; none when the end is reached. The window before is settled by then. */
  window(): Promise<readonly ConsumeMessage[]>
  /** Removes messages of the latest window, given in their order. Once for each window; the others are kept. */
  remove(messages: readonly ConsumeMessage[]): void
  /** Resolves when the broker has dealt with every removal; rejects with DeadLettersUnavailable when nobody can tell. */
  flushed(): Promise<void>
  /** Returns what was kept to its place in the queue, and closes the connection. Never rejects. */
  close(): Promise<void>
}

/**
 * Opens a reader of `<queue>.dead-letter` with a connection of its own.
 * @throws DeadLettersUnavailable: no such queue, somebody else reads it, not permitted, no broker
 */
export async function openReader(queue: string, config: RabbitmqConfig, service: Service): Promise<DeadLetterReader> {
  for (let attempt = 1; ; attempt += 1) {
    const reader = new Reader(deadLetterQueue(queue))
    try {
      await reader.open(config, service)
      return reader
    } catch (error) {
      await reader.close()
      const isBusy = error instanceof DeadLettersUnavailable && error.trouble === 'busy'
      if (!isBusy || attempt === ATTEMPTS_MOST) throw error
      await new Promise((resolve) => setTimeout(resolve, ATTEMPT_AGAIN_MS * (1 + Math.random())))
    }
  }
}

class Reader implements DeadLetterReader {
  total = 0
  readonly #queue: string
  readonly #arrived: ConsumeMessage[] = []
  /** The last message of each run of kept ones that came to the same consumer. */
  readonly #kept: ConsumeMessage[] = []
  /** The latest window, not settled yet. */
  #open: readonly ConsumeMessage[] = []
  #seen = 0
  #windowMost = WINDOW_FIRST
  #channel: Channel | undefined
  readonly #consumerTags = new Set<string>()
  #closeConnection: (() => Promise<void>) | undefined
  #lost: DeadLettersUnavailable | undefined
  #wake: () => void = () => {}

  constructor(queue: string) {
    this.#queue = queue
  }

  async open(config: RabbitmqConfig, service: Service): Promise<void> {
    try {
      const lost = (reason: Error) => this.#fail(reason)
      const connection = await openConnection(config, `${service.name} reading ${this.#queue}`, service, lost)
      this.#closeConnection = () => closeConnection(connection)
      const channel = await connection.model.createChannel()
      channel.on('error', (error: Error) => this.#fail(error))
      channel.on('close', () => this.#fail(new Error('the channel was closed')))
      this.#channel = channel
      this.total = (await channel.checkQueue(this.#queue)).messageCount
      await this.#standAlone(channel)
    } catch (error) {
      throw explained(this.#queue, error)
    }
  }

  /**
   * Takes the oldest message, and with it the place of the one reader, for as long as the reader lives: quorum queues do
   * not enforce exclusive consumers, so whoever sees a second consumer steps back.
   */
  async #standAlone(channel: Channel): Promise<void> {
    await this.#subscribe(channel, 1)
    const { consumerCount } = await channel.checkQueue(this.#queue)
    if (consumerCount > 1)
      throw new DeadLettersUnavailable(
        'busy',
        `somebody else is reading ${this.#queue} (${consumerCount - 1} other consumers): wait until that has ended, or end it`,
      )
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
      const channel = this.#channelOrThrow()
      const consumerTag = await this.#subscribe(channel, wanted - this.#arrived.length)
      await this.#arrivals(channel, wanted)
      await this.#cancel(channel, consumerTag)
    } catch (error) {
      throw this.#lost ?? explained(this.#queue, error)
    }
  }

  async #subscribe(channel: Channel, most: number): Promise<string> {
    await channel.prefetch(most)
    const { consumerTag } = await channel.consume(this.#queue, (message) => this.#take(message))
    this.#consumerTags.add(consumerTag)
    return consumerTag
  }

  async #cancel(channel: Channel, consumerTag: string): Promise<void> {
    await channel.cancel(consumerTag)
    this.#consumerTags.delete(consumerTag)
  }

  /** Resolves when `wanted` messages are there, or the queue has no more. */
  async #arrivals(channel: Channel, wanted: number): Promise<void> {
    let silentSince = performance.now()
    while (this.#arrived.length < wanted) {
      if (this.#lost) throw this.#lost
      const before = this.#arrived.length
      await this.#arrivalWithin(QUIET_MS)
      if (this.#arrived.length > before) silentSince = performance.now()
      else if ((await channel.checkQueue(this.#queue)).messageCount === 0 && this.#arrived.length === before) return
      else if (performance.now() - silentSince > SILENT_MOST_MS)
        throw new DeadLettersUnavailable('disconnected', `the broker delivers nothing of ${this.#queue}`)
    }
  }

  #arrivalWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #take(message: ConsumeMessage | null): void {
    if (message === null) this.#fail(new Error(`${this.#queue} was deleted`))
    else this.#arrived.push(message)
    this.#wake()
  }

  remove(messages: readonly ConsumeMessage[]): void {
    const gone = new Set(messages)
    const kept = this.#open.filter((message) => !gone.has(message))
    try {
      this.#ack(gone)
    } catch (error) {
      throw this.#lost ?? explained(this.#queue, error) // amqplib throws on a channel that is closed
    }
    this.#open = []
    this.#keep(kept)
  }

  #ack(gone: ReadonlySet<ConsumeMessage>): void {
    const channel = this.#channelOrThrow()
    const firstKept = this.#open.findIndex((message) => !gone.has(message))
    // One ack for all up to here, which is right only while everything before them is gone as well.
    const together = this.#kept.length > 0 ? 0 : firstKept === -1 ? this.#open.length : firstKept
    const last = this.#open[together - 1]
    if (last) channel.ack(last, true)
    for (const message of this.#open.slice(together)) if (gone.has(message)) channel.ack(message)
  }

  /** The broker does what it is told on a channel in order: an answer means that everything before was done. */
  async flushed(): Promise<void> {
    try {
      if (this.#lost) throw this.#lost
      await this.#channelOrThrow().checkQueue(this.#queue)
    } catch (error) {
      throw this.#lost ?? explained(this.#queue, error)
    }
  }

  /** Notes where runs end, and forgets the bodies. */
  #keep(messages: readonly ConsumeMessage[]): void {
    for (const { fields, properties } of messages) {
      if (this.#kept.at(-1)?.fields.consumerTag === fields.consumerTag) this.#kept.pop()
      this.#kept.push({ fields, properties, content: Buffer.alloc(0) })
    }
  }

  /**
   * Cancels first, so that nothing comes back to us, then returns run by run, oldest first: a quorum queue puts what is
   * returned in the order in which it is. With nack: RabbitMQ 4.3 counts it toward no delivery limit, as it would a
   * channel that closes with messages in hand.
   */
  async close(): Promise<void> {
    const channel = this.#channel
    if (channel !== undefined && this.#lost === undefined)
      await withDeadline(this.#giveBack(channel), CLOSE_TIMEOUT_MS, 'returning the messages').catch(() => {})
    this.#lost ??= new DeadLettersUnavailable('disconnected', 'the reader is closed')
    await this.#closeConnection?.()
  }

  async #giveBack(channel: Channel): Promise<void> {
    for (const consumerTag of this.#consumerTags) await this.#cancel(channel, consumerTag)
    this.#keep(this.#open.concat(this.#arrived))
    for (const message of this.#kept) channel.nack(message, true, true)
    await channel.close()
  }

  #channelOrThrow(): Channel {
    if (this.#channel === undefined) throw new Error('the reader is not open')
    return this.#channel
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
