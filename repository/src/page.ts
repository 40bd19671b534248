// One page of the listing, by keyset: as fast at the end of a long table as at its beginning.
import { z } from 'zod'
import type { PageRequest, StockItem } from './contract.ts'
import type { Database } from './database.ts'

const rows = z.array(
  z.object({
    id: z.int(),
    sku: z.string().nullable(),
    name: z.string().nullable(),
    label: z.string().nullable(),
    price: z.union([z.string(), z.number()]).nullable(),
    // The driver returns numbers as text that exceed JavaScript's range, because an operator may have made the column BIGINT.
    quantity: z.coerce.number().nullable(),
  }),
)

/** Reads one page. See Inventory.page. */
export async function page(database: Database, request: PageRequest): Promise<{ items: StockItem[]; next: number }> {
  const { after, limit, sku, label, quantityBelow } = request
  const conditions = ['id > ?']
  const parameters: unknown[] = [after]
  if (sku !== undefined) {
    conditions.push('sku = ?')
    parameters.push(sku)
  }
  if (label !== undefined) {
    conditions.push('label = ?')
    parameters.push(label)
  }
  if (quantityBelow !== undefined) {
    conditions.push('quantity < ?')
    parameters.push(quantityBelow)
  }
  const found = await database.use((sql) =>
    sql(
      `SELECT id, sku, name, label, price, quantity FROM inventory
       WHERE ${conditions.join(' AND ')} ORDER BY id LIMIT ?`,
      // One more than requested, to see whether this page is the last.
      [...parameters, limit + 1],
    ),
  )
  const parsed = rows.parse(found)
  const more = parsed.length > limit
  if (more) parsed.pop()
  const items = parsed.map(
    ({ sku, name, label, price, quantity }): StockItem => ({
      sku,
      name,
      label,
      price: price === null ? null : Number(price),
      quantity,
    }),
  )
  return { items, next: more ? (parsed.at(-1)?.id ?? 0) : 0 }
}
