// Logs a handler's work: a line for each batch, a debug line for each message, and a line when held messages can be applied again.
import type { Contract } from '../contract.ts'
import { healthcheck } from '../contracts.ts'
import type { Delivery, Handler, Outcome } from '../handler.ts'
import { idsOf, idsOfAll } from '../logged-ids.ts'
import { type Clock, clockOf } from '../scope.ts'
import type { Service } from '../service.ts'

export class WorkLog {
  readonly #queue: string
  readonly #service: Service
  readonly #clock: Clock
  readonly #level: 'info' | 'debug'
  #holdingSinceMs: number | undefined

  constructor({ kind, queue }: Contract, service: Service) {
    this.#queue = queue
    this.#service = service
    this.#clock = clockOf(service)
    // A query changes nothing, and a health check already writes its own log line.
    this.#level = kind === 'query' || queue === healthcheck.queue ? 'debug' : 'info'
  }

  /** Wraps the handler, and logs each call. */
  watch<Body, Result>(handler: Handler<Body, Result>): Handler<Body, Result> {
    return async (deliveries) => {
      const since = this.#clock.nowMs()
      const outcomes = await handler(deliveries)
      this.#handled(deliveries, outcomes, this.#clock.nowMs() - since)
      return outcomes
    }
  }

  /** Called when messages are held. When the handler succeeds again, the end of the hold is logged. */
  holding(): void {
    this.#holdingSinceMs ??= this.#clock.nowMs()
  }

  #handled(deliveries: readonly Delivery[], outcomes: readonly Outcome[], ms: number): void {
    const { log } = this.#service
    const queue = this.#queue
    if (this.#holdingSinceMs !== undefined) {
      const seconds = (this.#clock.nowMs() - this.#holdingSinceMs) / 1000
      this.#holdingSinceMs = undefined
      log.info({ queue, seconds }, `messages of ${queue} are no longer held, after ${seconds.toFixed(1)} s`)
    }
    const counts: Record<string, number> = {}
    let redriven = 0
    const isEachLogged = log.isLevelEnabled?.('debug') ?? true
    deliveries.forEach((delivery, index) => {
      const { redelivered, redrives } = delivery
      const word = wordFor(outcomes[index])
      counts[word] = (counts[word] ?? 0) + 1
      if (redrives > 0) redriven += 1
      if (isEachLogged) log.debug({ queue, ...idsOf(delivery), redelivered, redrives }, `message ${word}`)
    })
    const durationMs = Math.round(ms * 10) / 10
    const messages = deliveries.length
    const fields = { queue, messages, ...counts, ...(redriven > 0 ? { redriven } : {}), durationMs }
    log[this.#level]({ ...fields, ...idsOfAll(deliveries) }, 'batch handled')
  }
}

function wordFor(outcome: Outcome | undefined): string {
  if (outcome === undefined) return 'without an outcome'
  return outcome.kind === 'applied' && outcome.repeated ? 'repeated' : outcome.kind
}
