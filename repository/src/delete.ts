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

type Delete = Command<{ readonly sku: string }>
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
    const id = stored.get(body.sku)
    if (id !== undefined) gone.push(id)
    stored.delete(body.sku)
    const outcome = id === undefined ? 'unknown-sku' : 'deleted'
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
const rows = z.array(z.object({ id: z.int(), sku: z.string() }))

/** The ids of the rows with these skus, locked, so that what we say of them is still true when we commit. */
async function lockStored(sql: Sql, skus: readonly string[]): Promise<Map<string, number>> {
  // String(): MySQL compares a number with a text as numbers, and `sku IN (0)` would be nearly every row.
  const found = await sql('SELECT id, sku FROM inventory WHERE sku IN (?) ORDER BY id FOR UPDATE', [skus.map(String)])
  return new Map(rows.parse(found).map(({ id, sku }) => [sku, id]))
}

/** Another consumer applied one of these messages while we did: what it recorded must be read first. */
function whenRecordedMeanwhile(error: unknown): never {
  if (errnoOf(error) === DUPLICATE_KEY) throw new RunAgain('a message was applied by another consumer meanwhile')
  throw error
}
