// Deleting items by sku: a batch in three statements, with the truth about each message.
import { z } from 'zod'
import type { Sql } from './connections.ts'
import type { Command, DeleteOutcome } from './contract.ts'
import { type Database, RunAgain } from './database.ts'
import { errnoOf } from './errors.ts'
import { findRecorded, hasId, record } from './inbox.ts'
import { reused } from './verdicts.ts'

const QUEUE = 'stock_management'
const DUPLICATE_KEY = 1062

type Delete = Command<{ readonly sku: string | null }>
type Told = 'deleted' | 'unknown-sku'

/** Applies deletes in one transaction; see Inventory.delete. */
export async function deleteBySku(database: Database, commands: readonly Delete[]): Promise<readonly DeleteOutcome[]> {
  if (commands.length === 0) return []
  return await database.transaction((sql) => deleteBatch(sql, commands))
}

async function deleteBatch(sql: Sql, commands: readonly Delete[]): Promise<readonly DeleteOutcome[]> {
  const messageIds = commands.filter(hasId).map(({ messageId }) => messageId)
  const recorded: Map<string, { fingerprint: string; outcome: string }> = await findRecorded(sql, QUEUE, messageIds)
  const stored = await lockStored(
    sql,
    commands.map(({ body }) => body.sku),
  )
  const gone: number[] = []
  const fresh: { messageId: string; fingerprint: string; outcome: Told }[] = []
  const outcomes = commands.map((command): DeleteOutcome => {
    const { messageId, fingerprint, body } = command
    const before = messageId === undefined ? undefined : recorded.get(messageId)
    if (messageId !== undefined && before !== undefined) {
      if (before.fingerprint !== fingerprint) return { kind: 'message-id-reused', error: reused(messageId) }
      return { kind: told.parse(before.outcome), repeated: true }
    }
    const ids = stored.get(body.sku) ?? []
    for (const id of ids) gone.push(id)
    stored.delete(body.sku)
    const outcome = ids.length === 0 ? 'unknown-sku' : 'deleted'
    if (messageId !== undefined) {
      fresh.push({ messageId, fingerprint, outcome })
      recorded.set(messageId, { fingerprint, outcome })
    }
    return { kind: outcome, repeated: false }
  })
  if (gone.length > 0) await sql('DELETE FROM inventory WHERE id IN (?)', [gone])
  await record(sql, QUEUE, fresh).catch(whenRecordedMeanwhile)
  return outcomes
}

const told = z.enum(['deleted', 'unknown-sku'])
const rows = z.array(z.object({ id: z.int(), sku: z.string().nullable() }))

/** The ids of the rows with these skus, locked, so that what we say of them is still true when we commit. Only null has several. */
async function lockStored(sql: Sql, skus: readonly (string | null)[]): Promise<Map<string | null, number[]>> {
  // String(): MySQL compares a number with a text as numbers, and `sku IN (0)` would be nearly every row.
  const named = skus.filter((sku) => sku !== null).map(String)
  const conditions = [
    ...(named.length === 0 ? [] : ['sku IN (?)']),
    ...(named.length === skus.length ? [] : ['sku IS NULL']),
  ]
  const found = await sql(
    `SELECT id, sku FROM inventory WHERE ${conditions.join(' OR ')} ORDER BY id FOR UPDATE`,
    named.length === 0 ? [] : [named],
  )
  const stored = new Map<string | null, number[]>()
  for (const { id, sku } of rows.parse(found)) {
    const ids = stored.get(sku)
    if (ids) ids.push(id)
    else stored.set(sku, [id])
  }
  return stored
}

/** Another consumer applied one of these messages while we did: what it recorded must be read first. */
function whenRecordedMeanwhile(error: unknown): never {
  if (errnoOf(error) === DUPLICATE_KEY) throw new RunAgain('a message was applied by another consumer meanwhile')
  throw error
}
