// Reads a page of the listing with keyset pagination, which is as fast at the end of a long table as at its beginning.
import { z } from 'zod'
import type { PageRequest, StockItem } from './contract.ts'
import type { Database } from './database.ts'

interface Row {
  readonly id: number
  readonly sku: string | null
  readonly name: string | null
  readonly label: string | null
  readonly price: string | number | null
  /** Text if the number is beyond JavaScript's range, because an operator may have made the column BIGINT. */
  readonly quantity: string | number | null
}

/** Does not use zod's object schema, which would allocate an object for each row. On a large page these would outlive V8's young generation. */
const rows = z.custom<Row[]>((value) => Array.isArray(value) && value.every(isRow), 'these are not rows of inventory')

function isRow(row: unknown): boolean {
  if (typeof row !== 'object' || row === null) return false
  const { id, sku, name, label, price, quantity }: Partial<Record<keyof Row, unknown>> = row
  return (
    Number.isSafeInteger(id) &&
    isText(sku) &&
    isText(name) &&
    isText(label) &&
    (isText(price) || Number.isFinite(price)) &&
    (quantity === null || Number.isFinite(typeof quantity === 'string' ? Number(quantity) : quantity))
  )
}

const isText = (value: unknown): boolean => value === null || typeof value === 'string'

/**
 * A search reads at most this many rows for one page, so that its cost does not grow with the table. MySQL and MariaDB
 * share no type of index that finds a part of a word, because MariaDB has no ngram parser.
 */
const SEARCHED_ROWS = 25_000
/** Both MySQL and MariaDB have this collation. It ignores case and accents and, unlike utf8mb4_general_ci, supports all planes of Unicode. */
const SEARCH_COLLATION = 'utf8mb4_unicode_520_ci'
const ids = z.array(z.object({ id: z.int() }))

/** Reads one page. See Inventory.page. */
export async function page(
  database: Pick<Database, 'use'>,
  request: PageRequest,
): Promise<{ items: StockItem[]; next: number }> {
  const { after, limit, sku, label, quantityBelow, q } = request
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
  const { found, end } = await database.use(async (sql) => {
    // The last id that this page searches. Undefined without `q`, and near the end of the table.
    const end =
      q === undefined
        ? undefined
        : ids.parse(
            await sql('SELECT id FROM inventory WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?', [after, SEARCHED_ROWS - 1]),
          )[0]?.id
    if (q !== undefined) {
      const pattern = `%${q.replaceAll(/[|%_]/g, '|$&')}%`
      const column = (name: string) => `${name} COLLATE ${SEARCH_COLLATION} LIKE ? ESCAPE '|'`
      conditions.push(`(${column('sku')} OR ${column('name')} OR ${column('label')})`)
      parameters.push(pattern, pattern, pattern)
    }
    if (end !== undefined) {
      conditions.push('id <= ?')
      parameters.push(end)
    }
    const found = await sql(
      `SELECT id, sku, name, label, price, quantity FROM inventory
       WHERE ${conditions.join(' AND ')} ORDER BY id LIMIT ?`,
      // One more row than requested shows whether another page follows.
      [...parameters, limit + 1],
    )
    return { found, end }
  })
  const parsed = rows.parse(found)
  const more = parsed.length > limit
  if (more) parsed.pop()
  const items = parsed.map(
    ({ sku, name, label, price, quantity }): StockItem => ({
      sku,
      name,
      label,
      price: price === null ? null : Number(price),
      quantity: quantity === null ? null : Number(quantity),
    }),
  )
  return { items, next: more ? (parsed.at(-1)?.id ?? 0) : (end ?? 0) }
}
