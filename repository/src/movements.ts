// Reads a page of the movements of all items or of one item, with keyset pagination.
import { z } from 'zod'
import type { Movement, MovementsRequest } from './contract.ts'
import type { Database } from './database.ts'

const rows = z.array(
  z.object({
    id: z.int(),
    messageId: z.string(),
    sku: z.string(),
    change: z.int(),
    quantityBefore: z.int(),
    quantityAfter: z.int(),
    reason: z.string(),
    by: z.string().nullable(),
    requestId: z.string().nullable(),
    at: z.string(),
  }),
)

/** Reads one page. See Inventory.movements. */
export async function pageOfMovements(
  database: Database,
  { after, limit, sku }: MovementsRequest,
): Promise<{ movements: Movement[]; next: number }> {
  const found = await database.use((sql) =>
    sql(
      `SELECT id, CONVERT(message_id USING utf8mb4) AS messageId, sku, delta AS \`change\`, quantity_before AS quantityBefore,
         quantity_after AS quantityAfter, reason, requested_by AS \`by\`, request_id AS requestId,
         DATE_FORMAT(moved_at, '%Y-%m-%dT%H:%i:%s.%f') AS at
       FROM movement WHERE id > ? ${sku === undefined ? '' : 'AND sku = ?'} ORDER BY id LIMIT ?`,
      [after, ...(sku === undefined ? [] : [sku]), limit + 1],
    ),
  )
  const parsed = rows.parse(found).map((row) => ({ ...row, at: `${row.at.slice(0, 23)}Z` }))
  const movements = parsed.slice(0, limit)
  return { movements, next: parsed.length > limit ? (movements.at(-1)?.id ?? 0) : 0 }
}
