// Runs a handler until each message has an outcome. Retries while a dependency is down. If a batch fails, runs parts of it to find the bad messages.
// A message is held while it fails and is not known to be the cause: it stays unacknowledged, and is tried again.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import type { ConsumerConfig } from '../config.ts'
import { asError } from '../errors.ts'
import type { Delivery, Handler, Outcome } from '../handler.ts'
import { idsOf } from '../logged-ids.ts'
import { clockOf, Scope } from '../scope.ts'
import type { Service } from '../service.ts'
import type { Refused } from './read-message.ts'

/** A message is refused after it failed this many times when it ran by itself, with an unexpected error, while others succeeded. */
const ATTEMPTS_MAX = 3
/** When this many messages that run one by one fail in a row with a transient error, the dependency counts as down, and the round ends. */
const TRANSIENT_MAX = 2
/** Each locked row costs one lock wait. A round continues with the other messages for up to this long, even if `holdMaxMs` is shorter. */
export const LOOKING_FOR_FREE_ROWS_MAX_MS = 60_000
/** When attempts of a batch fail for the same reason, the log shows the first one, and then a count. */
const LOGGED_EVERY_MS = 10_000

export interface Reported<Item, Result> {
  readonly item: Item
  readonly outcome: Outcome<Result>
}

export interface AttemptParts<Body, Result, Item> {
  readonly queue: string
  readonly handler: Handler<Body, Result>
  readonly config: Pick<ConsumerConfig, 'batchMax' | 'retryMaxMs' | 'holdMaxMs'>
  readonly service: Service
  /** Called with the reason while messages are held, and with undefined when none is. */
  readonly trouble: (sentence: string | undefined) => void
  /** Called once with each outcome, as soon as it is known. */
  readonly reported: (reported: readonly Reported<Item, Result>[]) => void
  /** Takes one more message that has arrived, if any. If it succeeds while others fail, these are the cause, not the dependency. */
  readonly more: () => Item | undefined
}

/** Messages to requeue, because their outcome is unknown. */
export interface Unreported<Item> {
  readonly items: readonly Item[]
  readonly error: Error | undefined
}

/**
 * Reports the outcome of each message. Resolves when all are reported. Resolves with the unreported messages if `givenUp`
 * aborts, or if they were held for `holdMaxMs`. An error whose property `transient` is true is never caused by a message.
 * If `contended` is true as well, the messages run one by one. After any other error, a message is refused if it fails
 * repeatedly when it runs by itself, while another one succeeds. If all fail, they are held.
 */
export async function attemptAll<Body, Result, Item extends { readonly read: Delivery<Body> }>(
  items: readonly Item[],
  parts: AttemptParts<Body, Result, Item>,
  givenUp: AbortSignal,
): Promise<Unreported<Item> | undefined> {
  return await new Attempts(items, parts, givenUp).run()
}

interface Entry<Body, Item> {
  readonly item: Item
  delivery: Delivery<Body>
  /** How often it failed when it ran by itself. Transient errors do not count. */
  failures: number
  /** It failed when it ran by itself, and no other message has succeeded since, so the others may fail too. */
  isAmbiguous: boolean
  /** Another message succeeded after this one had failed when it ran by itself. */
  isSuspect: boolean
}

class Attempts<Body, Result, Item extends { readonly read: Delivery<Body> }> {
  readonly #parts: AttemptParts<Body, Result, Item>
  readonly #scope: Scope
  readonly #hold: Scope
  readonly #look: Scope
  /** The messages without an outcome, in order. */
  readonly #open = new Set<Entry<Body, Item>>()
  readonly #lines: RepeatedLine

  constructor(items: readonly Item[], parts: AttemptParts<Body, Result, Item>, givenUp: AbortSignal) {
    this.#parts = parts
    const clock = clockOf(parts.service)
    this.#lines = new RepeatedLine(LOGGED_EVERY_MS, () => clock.nowMs())
    this.#scope = new Scope(clock, givenUp)
    this.#hold = this.#scope.part([], parts.config.holdMaxMs)
    this.#look = this.#scope.part([], Math.max(parts.config.holdMaxMs, LOOKING_FOR_FREE_ROWS_MAX_MS))
    for (const item of items) this.#join(item)
  }

  async run(): Promise<Unreported<Item> | undefined> {
    if (this.#open.size === 0) return undefined
    for (let attempt = 1; ; attempt += 1) {
      const error = await this.#round(attempt)
      this.#reportTrouble(error, attempt)
      if (this.#open.size === 0) return undefined
      const until = this.#until(error)
      await until.backOff(attempt, this.#parts.config.retryMaxMs)
      if (until.isOver) return { items: [...this.#open].map(({ item }) => item), error }
    }
  }

  /** The deadline for holding messages does not apply while a message is suspect, because it is refused after a few more attempts. */
  #until(error: Error | undefined): Scope {
    return !isTransient(error) && [...this.#open].some(isSuspect) ? this.#scope : this.#hold
  }

  #join(item: Item): Entry<Body, Item> {
    const entry = { item, delivery: item.read, failures: 0, isAmbiguous: false, isSuspect: false }
    this.#open.add(entry)
    return entry
  }

  /**
   * Runs the handler for all messages, then for halves of each part that failed, down to single messages. After a transient
   * error (such as a lock of another transaction) each message runs by itself, because every part with the locked row waits
   * for the lock. Resolves with an error that left messages without an outcome, if any, preferably a transient one.
   */
  async #round(attempt: number): Promise<Error | undefined> {
    const open = [...this.#open]
    const parts = inParts(open, open.every(isSuspect) ? 1 : this.#parts.config.batchMax)
    const [first] = parts
    let left: Error | undefined
    let transientInARow = 0
    for (let part = parts.shift(); part !== undefined; part = parts.shift() ?? this.#witness()) {
      const error = await this.#try(part)
      if (error === undefined) transientInARow = 0
      else {
        if (!isTransient(left)) left = error
        if (part.length === 1 && isDependencyDown(error)) transientInARow += 1
        const isDown = part === first && isDependencyDown(error)
        if (isDown || transientInARow >= TRANSIENT_MAX) break
        // Reported now, because each further attempt may wait for a lock.
        if (part === first && isContended(error)) this.#reportTrouble(error, attempt)
        else if (part === first && part.length > 1) this.#warn(error, attempt, part, 'looking for the cause')
        if (part.length > 1) parts.unshift(...inParts(part, isTransient(error) ? 1 : Math.ceil(part.length / 2)))
      }
      if ((isContended(left) ? this.#look : this.#until(left)).isOver) break
    }
    return left
  }

  /** Takes one more message if some failed when they ran by themselves and no message has succeeded since. */
  #witness(): Entry<Body, Item>[] | undefined {
    if (![...this.#open].some(({ isAmbiguous }) => isAmbiguous)) return undefined
    const item = this.#parts.more()
    return item && [this.#join(item)]
  }

  /** Runs the handler once. Resolves with its error, or undefined if it succeeded. */
  async #try(entries: readonly Entry<Body, Item>[]): Promise<Error | undefined> {
    const { handler, queue, service } = this.#parts
    let outcomes: readonly Outcome<Result>[]
    try {
      outcomes = await handler(entries.map(({ delivery }) => delivery))
      if (outcomes.length !== entries.length)
        throw new Error(`the handler returned ${outcomes.length} outcomes for ${entries.length} messages`)
    } catch (thrown) {
      const error = asError(thrown)
      // A failed attempt may have been applied, so the next attempt counts as a redelivery.
      for (const entry of entries) entry.delivery = { ...entry.delivery, redelivered: true }
      service.meter.count('messages_retried', { queue }, entries.length)
      const [only] = entries
      if (only && entries.length === 1) this.#failedAlone(only, error)
      return error
    }
    this.#reportOutcomes(entries, outcomes)
    for (const entry of this.#open) {
      entry.isSuspect ||= entry.failures > 0
      entry.isAmbiguous = false
    }
    return undefined
  }

  #failedAlone(entry: Entry<Body, Item>, error: Error): void {
    if (isDependencyDown(error)) return
    entry.isAmbiguous = !entry.isSuspect
    if (isContended(error)) return
    entry.failures += 1
    if (!entry.isSuspect) return
    this.#warn(error, entry.failures, [entry], 'one failed alone while others succeeded')
    if (entry.failures >= ATTEMPTS_MAX) this.#reportOutcomes([entry], [failed(error)])
  }

  #reportOutcomes(entries: readonly Entry<Body, Item>[], outcomes: readonly Outcome<Result>[]): void {
    const reported: Reported<Item, Result>[] = []
    entries.forEach((entry, index) => {
      this.#open.delete(entry)
      const outcome = outcomes[index]
      if (outcome !== undefined) reported.push({ item: entry.item, outcome })
    })
    this.#parts.reported(reported)
  }

  #reportTrouble(error: Error | undefined, attempt: number): void {
    const { queue, trouble } = this.#parts
    const held = [...this.#open].filter((entry) => isTransient(error) || !entry.isSuspect)
    if (held.length === 0 || error === undefined) {
      trouble(undefined)
      return
    }
    this.#warn(error, attempt, held, 'holding them')
    trouble(`holding ${held.length} messages of ${queue}: ${error.message}`)
  }

  #warn(error: Error, attempt: number, entries: readonly Entry<Body, Item>[], next: string): void {
    const { queue, service } = this.#parts
    const lines = this.#lines.due(`${next}: ${error.message}`)
    if (lines === undefined) return
    const [first] = entries
    const fields = { queue, attempt, lines, messages: entries.length, ...(first && idsOf(first.delivery)) }
    service.log.warn(fields, `could not apply messages, ${next}: ${error.message}`)
  }
}

const isSuspect = (entry: Entry<unknown, unknown>): boolean => entry.isSuspect

const inParts = <T>(all: readonly T[], size: number): (readonly T[])[] =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, index) => all.slice(index * size, (index + 1) * size))

/** No message is the cause: the dependency is down, or a row is locked. For any other error, a message may be the cause. */
export const isTransient = (error: Error | undefined): boolean =>
  error !== undefined && 'transient' in error && error.transient === true

/** Another transaction holds a lock that a message needs. Other messages may not need it. */
const isContended = (error: Error | undefined): boolean =>
  error !== undefined && 'contended' in error && error.contended === true

const isDependencyDown = (error: Error): boolean => isTransient(error) && !isContended(error)

const failed = (error: Error): Refused => ({
  kind: 'refused',
  reason: 'handler-failed',
  error: `failed ${ATTEMPTS_MAX} times while other messages succeeded, last with: ${error.message}`,
  attempts: ATTEMPTS_MAX,
})
