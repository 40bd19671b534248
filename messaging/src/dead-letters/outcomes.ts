// Collects the outcomes of redriven messages from their consumer: applied, dead-lettered again, or unknown.
import type { Channel, Message } from 'amqplib'
import type { Command } from '../contract.ts'
import { DIRECT_REPLY_TO } from '../outgoing/reply.ts'
import { commandReplyIn } from '../outgoing/requester.ts'
import type { Scope } from '../scope.ts'
import { countReason } from './reasons.ts'

/** The numbers of redriven messages by outcome. */
export interface Outcomes {
  readonly applied: number
  /** Dead-lettered again, by reason. */
  readonly refused: ReadonlyMap<string, number>
  /** Without a reported outcome: still on their queue, or the reply did not arrive. */
  readonly unknown: number
}

/** The properties with which a message requests a reply. */
export type Asking = { readonly replyTo?: string; readonly correlationId?: string }

/** How long to wait for the outcomes after the last message was redriven. */
export interface OutcomesWanted {
  readonly withinMs: number
  readonly signal: AbortSignal
}

/**
 * Counts the replies to redriven messages. The messages have no header `x-hears-refusals` (ADR 30), so a consumer
 * dead-letters a refused one before it replies. No message is lost if this process ends.
 */
export class OutcomeCount {
  readonly #command: Command
  /** The correlation ids of redriven messages without a reported outcome. */
  readonly #open = new Set<number>()
  readonly #refused = new Map<string, number>()
  #applied = 0
  #number = 0
  /** Resolves when it is known whether the broker stored the latest window. */
  #stored: Promise<void> = Promise.resolve()
  #isOver = false
  #wake: () => void = () => {}

  constructor(command: Command) {
    this.#command = command
  }

  /** Replies arrive on the publishing channel, as direct reply-to requires. */
  async attach(channel: Channel): Promise<void> {
    // A reply may arrive before the broker's response to the commit, so it is counted only after that response.
    const arrived = (message: Message) => this.#stored.then(() => this.#note(message))
    await channel.consume(DIRECT_REPLY_TO, (message) => void (message && arrived(message)), { noAck: true })
  }

  /**
   * Returns the properties for the next `count` messages. Their outcomes are counted only if `stored` resolves with
   * true. `stored` must not reject.
   */
  expect(count: number, stored: Promise<boolean>): readonly Asking[] {
    const numbers = Array.from({ length: count }, () => this.#number++)
    this.#stored = stored.then((isStored) => {
      if (isStored) for (const number of numbers) this.#open.add(number)
    })
    return numbers.map((number) => ({ replyTo: DIRECT_REPLY_TO, correlationId: String(number) }))
  }

  #note(message: Message): void {
    const number = Number(message.properties.correlationId)
    const reply = commandReplyIn(this.#command.result, message)
    // A message that was delivered twice has two replies. Only the first one counts.
    if (reply.kind === 'no-reply' || !this.#open.delete(number)) return
    if (reply.kind === 'applied') this.#applied += 1
    else countReason(this.#refused, reply.reason)
    if (this.#open.size === 0) this.#wake()
  }

  /** Called when the channel is closed. No further outcome will be reported. */
  end(): void {
    this.#isOver = true
    this.#wake()
  }

  /** Resolves when all outcomes are reported, when no further reply can arrive, or when `scope` ends. Never rejects. */
  async reported(scope: Scope): Promise<Outcomes> {
    await this.#stored
    const all = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    if (this.#open.size > 0 && !this.#isOver) await scope.untilOver(all, undefined)
    return { applied: this.#applied, refused: this.#refused, unknown: this.#open.size }
  }
}
