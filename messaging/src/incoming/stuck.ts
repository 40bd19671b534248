// The messages that currently cannot be dead-lettered, and why. Limits the number of log lines about them.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import type { Message } from 'amqplib'
import { NotAccepted } from '../errors.ts'
import { idsOf } from '../logged-ids.ts'
import { type Clock, clockOf } from '../scope.ts'
import type { Service } from '../service.ts'

const LOGGED_EVERY_MS = 10_000

export class Stuck<Item extends { readonly message: Pick<Message, 'properties'> }> {
  readonly #queue: string
  readonly #service: Service
  readonly #clock: Clock
  readonly #changed: () => void
  /** The stuck messages and the reason for each. */
  readonly #items = new Map<Item, string>()
  readonly #line: RepeatedLine
  #sinceMs = 0
  /** The number of messages that were stuck since `#sinceMs`. */
  #count = 0

  /** `changed` is called when a first message is stuck, and when none is stuck any more. */
  constructor(queue: string, service: Service, changed: () => void) {
    this.#queue = queue
    this.#service = service
    this.#clock = clockOf(service)
    this.#changed = changed
    this.#line = new RepeatedLine(LOGGED_EVERY_MS, () => this.#clock.nowMs())
  }

  get size(): number {
    return this.#items.size
  }

  /** Why one of them is stuck, in one sentence. Undefined while none is. */
  notReady(): string | undefined {
    return this.#items.values().next().value
  }

  /** The item could not be dead-lettered, for the first time or again. */
  failed(item: Item, error: Error): void {
    const queue = this.#queue
    const why = `cannot dead-letter a message of ${queue}: ${error.message}`
    const isFirst = this.#items.size === 0
    if (isFirst) {
      this.#sinceMs = this.#clock.nowMs()
      this.#count = 0
    }
    if (!this.#items.has(item)) this.#count += 1
    this.#items.set(item, why)
    if (isFirst) this.#changed()
    const reason = error instanceof NotAccepted ? error.reason : error.name
    if (this.#line.due(reason) === undefined) return
    const messages = this.#items.size
    const text = messages === 1 ? why : `cannot dead-letter ${messages} messages of ${queue}: ${error.message}`
    this.#service.log.error({ queue, reason, messages, ...idsOf(item.message.properties) }, text)
  }

  /** The item was dead-lettered or requeued. */
  left(item: Item): void {
    if (!this.#items.delete(item) || this.#items.size > 0) return
    const seconds = (this.#clock.nowMs() - this.#sinceMs) / 1_000
    this.#line.reset()
    this.#changed()
    this.#service.log.info(
      { queue: this.#queue, messages: this.#count, seconds },
      `no message of ${this.#queue} waits to be dead-lettered any more, after ${seconds.toFixed(1)} s`,
    )
  }
}
