// Runs a handler until each message has an outcome: retries while a dependency is down; if a batch fails, runs its messages one by one to find the bad one.
import type { ConsumerConfig } from '../config.ts'
import type { Delivery, Handler, Outcome } from '../handler.ts'
import { clockOf, Scope } from '../scope.ts'
import type { Service } from '../service.ts'
import type { Refused } from './read-message.ts'

/** Attempts of a message alone, while others succeed, before it is refused for an unexpected error. */
const ATTEMPTS_MAX = 3
/** Transient errors in a row after which the rest of a batch is not tried one by one: the dependency is away. */
const TRANSIENT_MAX = 2

export interface AttemptParts<Body, Result> {
  readonly queue: string
  readonly handler: Handler<Body, Result>
  readonly config: Pick<ConsumerConfig, 'retryMostMs' | 'holdMostMs'>
  readonly service: Service
  /** Called with the reason while messages are held, and with undefined afterwards. */
  readonly trouble: (sentence: string | undefined) => void
  /**
   * Takes messages that have arrived since. They join messages that fail with an unknown error: if they succeed, the message
   * is the cause.
   */
  readonly more: () => readonly Delivery<Body>[]
}

/**
 * Resolves with one outcome for each delivery and for each that joined, in order; undefined if `givenUp` aborted, or they were
 * held too long, before every outcome was known. An error whose property `transient` is true is never a message's fault; if `contended`
 * is true as well, the others are tried one by one. Any other error is, but only if the message fails alone while another succeeds. If all fail, they are held.
 */
export async function outcomesOf<Body, Result>(
  deliveries: readonly Delivery<Body>[],
  parts: AttemptParts<Body, Result>,
  givenUp: AbortSignal,
): Promise<readonly (Outcome<Result> | undefined)[]> {
  try {
    return await new Attempts(deliveries, parts, givenUp).outcomes()
  } finally {
    parts.trouble(undefined)
  }
}

interface Entry<Body, Result> {
  delivery: Delivery<Body>
  outcome: Outcome<Result> | undefined
  /** How many times it failed alone. */
  failures: number
  /** Another message succeeded after this one had failed alone. */
  isSuspect: boolean
}

const isOpen = ({ outcome }: Entry<unknown, unknown>): boolean => outcome === undefined

const entryOf = <Body, Result>(delivery: Delivery<Body>): Entry<Body, Result> => ({
  delivery,
  outcome: undefined,
  failures: 0,
  isSuspect: false,
})

class Attempts<Body, Result> {
  readonly #parts: AttemptParts<Body, Result>
  readonly #givenUp: AbortSignal
  readonly #scope: Scope
  readonly #heldSinceMs: number
  readonly #entries: Entry<Body, Result>[]

  constructor(deliveries: readonly Delivery<Body>[], parts: AttemptParts<Body, Result>, givenUp: AbortSignal) {
    this.#entries = deliveries.map(entryOf<Body, Result>)
    this.#parts = parts
    this.#givenUp = givenUp
    this.#scope = new Scope(clockOf(parts.service), givenUp)
    this.#heldSinceMs = this.#scope.clock.nowMs()
  }

  /** One for each entry; undefined for those that nothing could be told of before they have to be given back. */
  async outcomes(): Promise<readonly (Outcome<Result> | undefined)[]> {
    for (let attempt = 1; ; attempt += 1) {
      const open = this.#entries.filter(isOpen)
      const error = await this.#attempt(open, attempt)
      if (!this.#entries.some(isOpen)) break
      this.#hold(error, attempt)
      if (!(await this.#pause(attempt))) break
    }
    return this.#entries.map(({ outcome }) => outcome)
  }

  /** Runs the handler, first for all at once. Resolves with the error that left messages without an outcome. */
  async #attempt(open: readonly Entry<Body, Result>[], attempt: number): Promise<unknown> {
    try {
      const outcomes = await this.#handled(open)
      for (const [index, entry] of open.entries()) entry.outcome = outcomes[index]
      return undefined
    } catch (error) {
      this.#failed(open)
      const [only] = open
      const isAlone = open.length === 1
      if (isTransient(error) && (isAlone || !isContended(error))) return error
      if (isAlone && only) only.failures += 1
      else {
        this.#warn(error, attempt, open, 'trying them one by one')
        const transient = await this.#oneByOne(open)
        if (transient) return transient
      }
      this.#entries.push(...this.#parts.more().map(entryOf<Body, Result>))
      return error
    }
  }

  /**
   * Runs each in order, then again those that failed before another one succeeded. Resolves with the last transient error: one
   * may be of its message alone (a locked row), after several in a row nothing more is tried.
   */
  async #oneByOne(open: readonly Entry<Body, Result>[]): Promise<unknown> {
    let transient: unknown
    let inARow = 0
    for (const entry of open) {
      const error = await this.#alone(entry)
      inARow = error === undefined ? 0 : inARow + 1
      transient = error ?? transient
      if (inARow >= TRANSIENT_MAX) return transient
      if (entry.outcome === undefined) continue
      for (const other of open) other.isSuspect = other.failures > 0
    }
    for (const entry of open) {
      while (isOpen(entry) && entry.isSuspect) {
        if (!(await this.#pause(entry.failures))) return transient
        const error = await this.#alone(entry)
        if (error !== undefined) return error
      }
    }
    return transient
  }

  /** Runs the handler for this one. Resolves with a transient error if it has to be held. */
  async #alone(entry: Entry<Body, Result>): Promise<unknown> {
    if (this.#givenUp.aborted) return this.#givenUp.reason
    try {
      const [outcome] = await this.#handled([entry])
      entry.outcome = outcome
    } catch (error) {
      this.#failed([entry])
      if (isTransient(error)) return error
      entry.failures += 1
      if (entry.isSuspect) this.#warn(error, entry.failures, [entry], 'it failed alone while others succeeded')
      if (entry.isSuspect && entry.failures >= ATTEMPTS_MAX) entry.outcome = failed(error)
    }
    return undefined
  }

  async #handled(entries: readonly Entry<Body, Result>[]): Promise<readonly Outcome<Result>[]> {
    const deliveries = entries.map(({ delivery }) => delivery)
    const outcomes = await this.#parts.handler(deliveries)
    if (outcomes.length !== deliveries.length)
      throw new Error(`the handler returned ${outcomes.length} outcomes for ${deliveries.length} messages`)
    return outcomes
  }

  /** False when the messages have to be requeued. */
  async #pause(attempt: number): Promise<boolean> {
    const { holdMostMs, retryMostMs } = this.#parts.config
    if (this.#scope.clock.nowMs() - this.#heldSinceMs > holdMostMs) return false
    await this.#scope.backOff(attempt, retryMostMs)
    return !this.#givenUp.aborted
  }

  #hold(error: unknown, attempt: number): void {
    const { queue, service, trouble } = this.#parts
    const held = this.#entries.filter(isOpen)
    this.#warn(error, attempt, held, 'holding them')
    service.meter.observe('messages_held', held.length, { queue })
    trouble(`holding ${held.length} messages of ${queue}: ${sentenceOf(error)}`)
  }

  /** A failed attempt may have had its effect, so the next one counts as a redelivery. */
  #failed(entries: readonly Entry<Body, Result>[]): void {
    for (const entry of entries) entry.delivery = { ...entry.delivery, redelivered: true }
    this.#parts.service.meter.count('messages_retried', { queue: this.#parts.queue }, entries.length)
  }

  #warn(error: unknown, attempt: number, entries: readonly Entry<Body, Result>[], next: string): void {
    const { queue, service } = this.#parts
    const fields = { queue, attempt, messages: entries.length, messageId: entries[0]?.delivery.messageId }
    service.log.warn(fields, `could not apply messages, ${next}: ${sentenceOf(error)}`)
  }
}

const isTransient = (error: unknown): boolean =>
  error instanceof Error && 'transient' in error && error.transient === true

/** Part of the batch may be free. */
const isContended = (error: unknown): boolean =>
  error instanceof Error && 'contended' in error && error.contended === true

const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const failed = (error: unknown): Refused => ({
  kind: 'refused',
  reason: 'handler-failed',
  error: `failed ${ATTEMPTS_MAX} times while other messages succeeded, last with: ${sentenceOf(error)}`,
  attempts: ATTEMPTS_MAX,
})
