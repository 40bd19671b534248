// Puts dead letters back on their queue: what a redriven message looks like, and when it counts as taken.
import type { ConfirmChannel, Message } from 'amqplib'
import type { RabbitmqConfig } from '../config.ts'
import { type Connection, closeConnection, openFirstConnection } from '../connection/connection.ts'
import { carried, FRAME_MIN_BYTES, headerRoom } from '../incoming/carried.ts'
import type { Envelope } from '../outgoing/publisher.ts'
import { type Clock, clockOf } from '../scope.ts'
import type { Service } from '../service.ts'
import { idOf } from './described.ts'
import { DeadLettersUnavailable } from './errors.ts'
import { explained } from './reader.ts'
import { printable } from './text.ts'

/** Headers that tell of the life before, the consumers' and the broker's: without them attempts begin again. */
const DROPPED_HEADERS = new Set([
  'x-reason',
  'x-error',
  'x-failed-at',
  'x-consumer',
  'x-attempts',
  'x-dropped',
  'x-dropped',
  'x-death',
  'x-delivery-count',
  'x-acquired-count',
])
const DROPPED_PREFIXES = ['x-first-death-', 'x-last-death-']

/**
 * The message as its consumer is to see it again: the same bytes, properties and id, as far as they can be written again
 * and do not route it elsewhere. One without an id gets that of its dead letter.
 */
export function redriven(queue: string, message: Message, frameMax: number): Envelope {
  const { properties, headers } = carried(message.properties, headerRoom(frameMax))
  const kept = Object.entries(headers).filter(
    ([name]) => !DROPPED_HEADERS.has(name) && !DROPPED_PREFIXES.some((prefix) => name.startsWith(prefix)),
  )
  return {
    queue,
    content: message.content,
    properties: {
      ...properties,
      messageId: idOf(message),
      persistent: true,
      mandatory: true,
      headers: Object.fromEntries(kept),
    },
  }
}

export interface Republisher {
  /**
   * Publishes messages to `queue` and resolves, when the fate of all is known or the time is up, with those that the
   * broker has confirmed as stored, in their order, and why the others are not. Never rejects.
   */
  publish<M extends Message>(messages: readonly M[]): Promise<{ taken: readonly M[]; trouble?: DeadLettersUnavailable }>
  close(): Promise<void>
}

/** Opens a connection for publishing to `queue`, apart from the reader's: the broker stops reading one when it is short of memory or disk. */
export async function openRepublisher(queue: string, config: RabbitmqConfig, service: Service): Promise<Republisher> {
  const opened = new RabbitmqRepublisher(queue, config.confirmTimeoutMs, clockOf(service))
  try {
    await opened.open(config, service)
    return opened
  } catch (error) {
    await opened.close()
    throw explained(queue, error)
  }
}

class RabbitmqRepublisher implements Republisher {
  readonly #queue: string
  readonly #confirmTimeoutMs: number
  readonly #clock: Clock
  #connection: Connection | undefined
  #channel: ConfirmChannel | undefined
  #trouble: DeadLettersUnavailable | undefined
  /** Ends the wait for confirms that will not come. */
  #interrupt: () => void = () => {}

  constructor(queue: string, confirmTimeoutMs: number, clock: Clock) {
    this.#clock = clock
    this.#queue = queue
    this.#confirmTimeoutMs = confirmTimeoutMs
  }

  async open(config: RabbitmqConfig, service: Service): Promise<void> {
    const lost = (reason: Error) => this.#fail(explained(this.#queue, reason))
    this.#connection = await openFirstConnection(config, `${service.name} redriving to ${this.#queue}`, service, lost)
    this.#channel = await this.#connection.model.createConfirmChannel()
    this.#channel.on('error', lost)
    this.#channel.on('close', () => lost(new Error('the channel was closed')))
    // The broker returns a message before it confirms it. After the first, no confirm is believed any more.
    this.#channel.on('return', () =>
      this.#fail(
        new DeadLettersUnavailable(
          'unroutable',
          `the broker has no queue ${this.#queue} to redrive to: start its consumer, or declare it`,
        ),
      ),
    )
  }

  async publish<M extends Message>(messages: readonly M[]) {
    const taken = new Set<M>()
    let unknown = messages.length
    await new Promise<void>((resolve) => {
      const clear = this.#clock.after(this.#confirmTimeoutMs, () => this.#fail(this.#notConfirmed()))
      this.#interrupt = () => {
        clear()
        resolve()
      }
      if (this.#trouble || messages.length === 0) return this.#interrupt()
      for (const message of messages)
        this.#write(message, (isTaken) => {
          if (isTaken && this.#trouble === undefined) taken.add(message)
          unknown -= 1
          if (unknown === 0) this.#interrupt()
        })
    })
    const inOrder = messages.filter((message) => taken.has(message))
    return this.#trouble === undefined ? { taken: inOrder } : { taken: inOrder, trouble: this.#trouble }
  }

  #write(message: Message, settled: (isTaken: boolean) => void): void {
    const { queue, content, properties } = redriven(this.#queue, message, this.#connection?.frameMax ?? FRAME_MIN_BYTES)
    try {
      this.#channel?.publish('', queue, content, properties, (error) => {
        if (error) this.#fail(this.#refused(message))
        settled(!error)
      })
    } catch (error) {
      // amqplib refuses before it writes anything: the channel is closing, or a header cannot be written again.
      const why = error instanceof Error ? error.message : String(error)
      this.#fail(
        new DeadLettersUnavailable(
          'unconfirmed',
          `the message ${printable(idOf(message))} cannot be sent: ${printable(why)}`,
        ),
      )
      settled(false)
    }
  }

  #refused(message: Message): DeadLettersUnavailable {
    return new DeadLettersUnavailable('unconfirmed', `the broker refused the message ${printable(idOf(message))}`)
  }

  #notConfirmed(): DeadLettersUnavailable {
    const blocked = this.#connection?.blocked
    const why = blocked === undefined ? '' : ` (it blocks publishing: ${blocked})`
    const seconds = this.#confirmTimeoutMs / 1_000
    return new DeadLettersUnavailable('unconfirmed', `the broker did not confirm within ${seconds} s${why}`)
  }

  #fail(trouble: DeadLettersUnavailable): void {
    this.#trouble ??= trouble
    this.#interrupt()
  }

  async close(): Promise<void> {
    this.#trouble ??= new DeadLettersUnavailable('disconnected', 'closed')
    if (this.#connection) await closeConnection(this.#connection)
  }
}
