// An in-memory inventory for unit tests. It passes the same suite as MySQL (test/inventory.suite.ts).
import {
  ADJUSTMENT_REFUSALS,
  type Adjustment,
  type AdjustOutcome,
  type Command,
  type CreateOutcome,
  type DeleteOutcome,
  type Inventory,
  type Movement,
  type MovementsRequest,
  type NewItem,
  type PageRequest,
  type Recorded,
  type StockItem,
} from './contract.ts'
import { REDRIVES_MAX, type Verdict } from './inbox.ts'
import { adjusted, duplicate, reportedAgain, reused, sameContent, withoutId } from './verdicts.ts'

/** Creates an empty inventory that keeps items, movements and outcomes in memory. */
export function inMemoryInventory(): Inventory {
  const stock = new Stock()
  return {
    create: async (commands) => commands.map((command) => stock.create(command)),
    delete: async (commands) => commands.map((command) => stock.delete(command)),
    adjust: async (commands) => commands.map((command) => stock.adjust(command)),
    movements: async (request) => stock.movements(request),
    recorded: async (messageIds) => messageIds.map((messageId) => stock.recorded(messageId)),
    page: async (request) => stock.page(request),
  }
}

const DUPLICATE = 'duplicate-sku'
const REJECTED = 'rejected-by-database'
const QUEUE_OF: Readonly<Record<string, string>> = {
  create: 'create_item',
  delete: 'stock_management',
  adjust: 'stock_adjustment',
}

class Stock {
  readonly #items = new Map<string, { id: number; item: NewItem }>()
  readonly #verdicts = new Map<string, Verdict & { readonly at: string }>()
  readonly #movements: Movement[] = []
  #lastId = 0

  create(command: Command<NewItem>): CreateOutcome {
    const { messageId, redelivered, body } = command
    const before = this.#verdictOn('create', command)
    if (before === 'reused') return { kind: 'message-id-reused', error: reused(messageId ?? '') }
    if (before?.error === null) return { kind: 'created', repeated: true }
    if (before !== undefined) return { kind: before.outcome === DUPLICATE ? DUPLICATE : REJECTED, error: before.error }
    const stored = this.#items.get(body.sku)
    if (stored !== undefined)
      return messageId === undefined && redelivered && sameContent(stored.item, body)
        ? { kind: 'created', repeated: true }
        : this.#refuse(command, DUPLICATE, duplicate(body.sku))
    const unfit = unfitColumn(body)
    if (unfit !== undefined) return this.#refuse(command, REJECTED, `MySQL refused the item: ${unfit}`)
    this.#lastId += 1
    const { sku, name, label, price, quantity } = body
    const item = { sku, name, label, price: Number(price.toFixed(4)), quantity }
    this.#items.set(sku, { id: this.#lastId, item })
    this.#note('create', command, 'created', null)
    return { kind: 'created', repeated: false }
  }

  delete(command: Command<{ readonly sku: string | null }>): DeleteOutcome {
    const { messageId, body } = command
    const before = this.#verdictOn('delete', command)
    if (before === 'reused') return { kind: 'message-id-reused', error: reused(messageId ?? '') }
    if (before !== undefined) return { kind: before.outcome === 'deleted' ? 'deleted' : 'unknown-sku', repeated: true }
    // Every item here has a sku. Only an adopted table can contain rows without one.
    const kind = body.sku !== null && this.#items.delete(body.sku) ? 'deleted' : 'unknown-sku'
    this.#note('delete', command, kind, null)
    return { kind, repeated: false }
  }

  adjust(command: Command<Adjustment>): AdjustOutcome {
    const { messageId, body } = command
    if (messageId === undefined) return { kind: 'no-message-id', error: withoutId }
    const before = this.#verdictOn('adjust', command)
    if (before === 'reused') return { kind: 'message-id-reused', error: reused(messageId) }
    if (before !== undefined && before.error !== null) {
      const kind = ADJUSTMENT_REFUSALS.find((each) => each === before.outcome) ?? REJECTED
      return { kind, error: before.error }
    }
    const earlier = this.#movements.find((movement) => movement.messageId === messageId)
    if (earlier !== undefined) return reportedAgain(messageId, body, earlier)
    const stored = this.#items.get(body.sku)
    const outcome = adjusted(stored?.item, body)
    if (outcome.kind !== 'adjusted') {
      this.#note('adjust', command, outcome.kind, outcome.error)
      return outcome
    }
    const { sku, change, reason, by = null, requestId = null } = body
    const quantityBefore = outcome.quantity - change
    if (stored) this.#items.set(sku, { ...stored, item: { ...stored.item, quantity: outcome.quantity } })
    const [id, at] = [this.#movements.length + 1, new Date().toISOString()]
    this.#movements.push({
      id,
      messageId,
      sku,
      change,
      quantityBefore,
      quantityAfter: outcome.quantity,
      reason,
      by,
      requestId,
      at,
    })
    this.#note('adjust', command, 'adjusted', null)
    return outcome
  }

  movements({ after, limit, sku }: MovementsRequest): { movements: Movement[]; next: number } {
    const found = this.#movements.filter(
      (movement) => movement.id > after && (sku === undefined || movement.sku === sku),
    )
    const movements = found.slice(0, limit)
    return { movements, next: found.length > limit ? (movements.at(-1)?.id ?? 0) : 0 }
  }

  #refuse(command: Command<NewItem>, kind: typeof DUPLICATE | typeof REJECTED, error: string): CreateOutcome {
    this.#note('create', command, kind, error)
    return { kind, error }
  }

  #note(
    operation: string,
    { messageId, redrives, fingerprint }: Command<unknown>,
    outcome: string,
    error: string | null,
  ) {
    if (messageId === undefined) return
    const at = new Date().toISOString()
    this.#verdicts.set(`${operation} ${redrives} ${messageId}`, { fingerprint, outcome, error, at })
  }

  recorded(messageId: string): Recorded {
    const found = [...this.#verdicts].map(([key, verdict]) => {
      const [operation = '', redrives, ...id] = key.split(' ')
      return { id: id.join(' '), queue: QUEUE_OF[operation] ?? operation, redrives: Number(redrives), ...verdict }
    })
    const verdicts = found
      .filter(({ id }) => id === messageId)
      .map(({ queue, redrives, outcome, error, at }) => ({ queue, redrives, outcome, error, at }))
    return { verdicts, remembersSince: found[0]?.at ?? null }
  }

  #verdictOn(
    operation: string,
    { messageId, redrives, fingerprint }: Command<unknown>,
  ): Verdict | 'reused' | undefined {
    if (messageId === undefined) return undefined
    const verdictAfter = (number: number) => this.#verdicts.get(`${operation} ${number} ${messageId}`)
    const all = Array.from({ length: Math.max(REDRIVES_MAX, redrives) + 1 }, (_, number) => verdictAfter(number))
    const verdict = all.find((each) => each?.error === null) ?? verdictAfter(redrives)
    if (verdict === undefined) return undefined
    return verdict.fingerprint === fingerprint ? verdict : 'reused'
  }

  page({ after, limit, sku, label, quantityBelow, q }: PageRequest): { items: StockItem[]; next: number } {
    // A Map keeps insertion order, which is the order of the ids.
    const found = [...this.#items.values()].filter(
      ({ id, item }) =>
        id > after &&
        (sku === undefined || item.sku === sku) &&
        (label === undefined || item.label === label) &&
        (quantityBelow === undefined || item.quantity < quantityBelow) &&
        (q === undefined || [item.sku, item.name, item.label].some((text) => folded(text).includes(folded(q)))),
    )
    const page = found.slice(0, limit)
    return { items: page.map(({ item }) => item), next: found.length > limit ? (page.at(-1)?.id ?? 0) : 0 }
  }
}

/** Approximates the collation that the search uses in MySQL. */
const folded = (text: string): string => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()

/** The error that MySQL would return for this row. Undefined when every value fits its column. */
function unfitColumn({ sku, name, label, price, quantity }: NewItem): string | undefined {
  const tooLong = [
    ['sku', sku, 20],
    ['name', name, 100],
    ['label', label, 50],
  ] as const
  for (const [column, value, max] of tooLong) if ([...value].length > max) return `Data too long for column '${column}'`
  if (Math.abs(price) >= 99_999_999_999.99995) return "Out of range value for column 'price'"
  if (quantity < -2_147_483_648 || quantity > 2_147_483_647) return "Out of range value for column 'quantity'"
  return undefined
}
