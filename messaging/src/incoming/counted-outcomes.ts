// Counts the outcomes of a batch. Calls the meter once for each kind of outcome, not once for each message.
import { type Contract, outcomesOf } from '../contract.ts'
import type { Outcome } from '../handler.ts'
import type { Meter } from '../service.ts'

/** The values of the label `outcome` for this contract. They come from its schema, because a handler may return any text. */
export function countedOutcomes(contract: Contract): readonly string[] {
  if (contract.kind === 'query') return ['answered']
  const outcomes = outcomesOf(contract)
  return outcomes.length > 0 ? outcomes : ['applied']
}

export class OutcomeCounter {
  readonly #queue: string
  readonly #meter: Meter
  readonly #known: ReadonlySet<string>
  readonly #otherwise: string

  constructor(contract: Contract, meter: Meter) {
    const outcomes = countedOutcomes(contract)
    this.#queue = contract.queue
    this.#meter = meter
    this.#known = new Set(outcomes)
    this.#otherwise = outcomes[0] ?? 'applied'
  }

  /** Counts durable outcomes. Refused messages are counted when it is known whether their sender was notified. */
  count(outcomes: Iterable<Outcome>): void {
    const counts = new Map<string, number>()
    let repeated = 0
    for (const outcome of outcomes) {
      if (outcome.kind === 'refused') continue
      if (outcome.kind === 'applied' && outcome.repeated) repeated += 1
      else {
        const label = this.#labelOf(outcome)
        counts.set(label, (counts.get(label) ?? 0) + 1)
      }
    }
    const queue = this.#queue
    if (repeated > 0) this.#meter.count('messages_duplicates', { queue }, repeated)
    for (const [outcome, count] of counts) this.#meter.count('messages_applied', { queue, outcome }, count)
  }

  #labelOf(outcome: Exclude<Outcome, { kind: 'refused' }>): string {
    if (outcome.kind === 'answered' || this.#known.size < 2) return this.#otherwise
    const { result } = outcome
    const value = typeof result === 'object' && result !== null && 'outcome' in result ? result.outcome : undefined
    return typeof value === 'string' && this.#known.has(value) ? value : this.#otherwise
  }
}
