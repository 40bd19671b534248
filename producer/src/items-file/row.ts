// A row of an imported file: its line, and its item or its errors.
import { createHash } from 'node:crypto'
import { createItem, type Item } from '@ims/messaging'
import type { z } from 'zod'

/** The columns of an item, in the order of an export. */
export const COLUMNS = ['sku', 'name', 'label', 'price', 'quantity'] as const

/** No row may be larger. The largest valid item is far smaller, even with each character escaped. */
export const ROW_MAX_BYTES = 65_536

/** A row of the file, before it is checked. */
export interface Row {
  /** The line on which the row begins, from 1. For a JSON array, the number of the element. */
  readonly line: number
  /** The members of the item, or why the row could not be read. */
  readonly read: { readonly value: unknown } | { readonly problem: string }
  /** The cells for the file of rejected rows, in the order of `RowReader.header`. */
  readonly cells: readonly string[]
}

/** A file that is being read. */
export interface RowReader {
  /** The names of the columns in the file of rejected rows. */
  readonly header: readonly string[]
  readonly delimiter: string
  readonly rows: AsyncIterable<Row>
}

/** The item of a row, by the schema of `POST /create_item`, or the error of each member. */
export function itemOf({ read }: Row): { readonly item: Item } | { readonly reason: string } {
  if ('problem' in read) return { reason: read.problem }
  const { data, error } = createItem.body.safeParse(read.value, { error: missingIsMissing })
  if (error === undefined) return { item: data }
  return { reason: error.issues.map(({ path, message }) => [...path, message].join(': ')).join('; ') }
}

const missingIsMissing: z.core.$ZodErrorMap = ({ code, input, path }) => {
  if (code !== 'invalid_type') return undefined
  if ((path ?? []).length === 0) return 'must be an object with the members of an item'
  return input === undefined ? 'is missing' : undefined
}

/** The members of an item in one order, so that equal items have equal text. */
export const contentOf = ({ sku, name, label, price, quantity }: Item): string =>
  JSON.stringify([sku, name, label, price, quantity])

/**
 * The `Idempotency-Key` of a row. It is derived from the content, so a repeated row is the same command. With another
 * `run` it is another command.
 */
export const keyOf = (item: Item, run: string): string =>
  `"import-${createHash('sha256').update(run).update('\0').update(contentOf(item)).digest('base64url')}"`
