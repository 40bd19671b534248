// The inventory in memory, for unit tests: passes the same suite as MySQL (test/inventory.suite.ts).
import type { Command, CreateOutcome, DeleteOutcome, Inventory, NewItem, PageRequest, StockItem } from './contract.ts'
import type { Recorded } from './inbox.ts'
import { duplicate, reused, sameContent } from './verdicts.ts'

/** An empty inventory that holds its items, and the messages it applied, in memory. */
export function inMemoryInventory(): Inventory {
  const stock = new Stock()
  return {
    create: async (commands) => commands.map((command) => stock.create(command)),
    delete: async (commands) => commands.map((command) => stock.delete(command)),
    page: async (request) => stock.page(request),
  }
}

class Stock {
  readonly #items = new Map<string, { id: number; item: NewItem }>()
  readonly #created = new Map<string, Recorded>()
  readonly #deleted = new Map<string, Recorded>()
  #lastId = 0

  create({ messageId, fingerprint, redelivered, body }: Command<NewItem>): CreateOutcome {
    const before = messageId === undefined ? undefined : this.#created.get(messageId)
    if (messageId !== undefined && before !== undefined)
      return before.fingerprint === fingerprint
        ? { kind: 'created', repeated: true }
        : { kind: 'message-id-reused', error: reused(messageId) }
    const stored = this.#items.get(body.sku)
    if (stored !== undefined)
      return messageId === undefined && redelivered && sameContent(stored.item, body)
        ? { kind: 'created', repeated: true }
        : { kind: 'duplicate-sku', error: duplicate(body.sku) }
    const unfit = unfitColumn(body)
    if (unfit !== undefined) return { kind: 'rejected-by-database', error: `MySQL refused the item: ${unfit}` }
    this.#lastId += 1
    const { sku, name, label, price, quantity } = body
    const item = { sku, name, label, price: Number(price.toFixed(4)), quantity }
    this.#items.set(sku, { id: this.#lastId, item })
    if (messageId !== undefined) this.#created.set(messageId, { fingerprint, outcome: 'created' })
    return { kind: 'created', repeated: false }
  }

  delete({ messageId, fingerprint, body }: Command<{ readonly sku: string | null }>): DeleteOutcome {
    const before = messageId === undefined ? undefined : this.#deleted.get(messageId)
    if (messageId !== undefined && before !== undefined)
      return before.fingerprint === fingerprint
        ? { kind: before.outcome === 'deleted' ? 'deleted' : 'unknown-sku', repeated: true }
        : { kind: 'message-id-reused', error: reused(messageId) }
    // Nothing here has no sku: only a table that was adopted can hold such rows.
    const kind = body.sku !== null && this.#items.delete(body.sku) ? 'deleted' : 'unknown-sku'
    if (messageId !== undefined) this.#deleted.set(messageId, { fingerprint, outcome: kind })
    return { kind, repeated: false }
  }

  page({ after, limit, sku, label }: PageRequest): { items: StockItem[]; next: number } {
    // A Map keeps the order of insertion, which is the order of the ids.
    const found = [...this.#items.values()].filter(
      ({ id, item }) =>
        id > after && (sku === undefined || item.sku === sku) && (label === undefined || item.label === label),
    )
    const page = found.slice(0, limit)
    return { items: page.map(({ item }) => item), next: found.length > limit ? (page.at(-1)?.id ?? 0) : 0 }
  }
}

/** What MySQL would say against this row; undefined when every column takes its value. */
function unfitColumn({ sku, name, label, price, quantity }: NewItem): string | undefined {
  const tooLong = [
    ['sku', sku, 20],
    ['name', name, 100],
    ['label', label, 50],
  ] as const
  for (const [column, value, most] of tooLong)
    if ([...value].length > most) return `Data too long for column '${column}'`
  if (Math.abs(price) >= 99_999_999_999.99995) return "Out of range value for column 'price'"
  if (quantity < -2_147_483_648 || quantity > 2_147_483_647) return "Out of range value for column 'quantity'"
  return undefined
}
