// Deleting items by sku: a batch in three statements, with the truth about each message.
import { z } from 'zod'
import type { Command, DeleteOutcome } from './contract.ts'
import type { Database } from './database.ts'
import { errnoOf, meaningOf, RunAgain, sentenceOf } from './errors.ts'
import { findRecorded, hasId, type Identified, type Recorded, record } from './inbox.ts'
import type { Sql } from './server-pool.ts'
import { assertChanged } from './stored.ts'
import { reused } from './verdicts.ts'

const QUEUE = 'stock_management'
const DUPLICATE_KEY = 1062

type Sku = string | null
type Delete = Command<{ readonly sku: Sku }>
type Told = 'deleted' | 'unknown-sku'

/** Applies deletes in one transaction; see Inventory.delete. */
export async function deleteBySku(database: Database, commands: readonly Delete[]): Promise<readonly DeleteOutcome[]> {
  if (commands.length === 0) return []
  return await database.transaction((sql) => deleteBatch(sql, commands))
}

async function deleteBatch(sql: Sql, commands: readonly Delete[]): Promise<readonly DeleteOutcome[]> {
  // The rows first: with them locked, what another replica has made of the same messages is there to be read.
  const stored = await lockStored(
    sql,
    commands.map(({ body }) => body.sku),
  )
  const messageIds = commands.filter(hasId).map(({ messageId }) => messageId)
  const recorded: Map<string, Recorded> = await findRecorded(sql, QUEUE, messageIds)
  const bodies = firstBodies(commands)
  const wanted = commands.filter((command) => !hasId(command) || isNew(command, bodies, recorded))
  const ids = [...new Set(wanted.map(({ body }) => body.sku))].flatMap((sku) => stored.get(sku) ?? [])
  const refused = new Map<number, string>()
  await deleteHalving(
    sql,
    ids.sort((a, b) => a - b),
    refused,
  )
  const { outcomes, fresh } = tell(commands, bodies, stored, refused, recorded)
  await record(sql, QUEUE, fresh).catch(whenRecordedMeanwhile)
  return outcomes
}

/** The fingerprint of the first message of the batch under each id. */
function firstBodies(commands: readonly Delete[]): Map<string, string> {
  const bodies = new Map<string, string>()
  for (const { messageId, fingerprint } of commands.filter(hasId))
    if (!bodies.has(messageId)) bodies.set(messageId, fingerprint)
  return bodies
}

const isNew = ({ messageId, fingerprint }: Identified, bodies: Map<string, string>, recorded: Map<string, Recorded>) =>
  !recorded.has(messageId) && bodies.get(messageId) === fingerprint

interface Fresh {
  readonly messageId: string
  readonly fingerprint: string
  readonly outcome: Told
}

/** What became of each command, in order: the first that names a sku takes its rows, the next finds none. */
function tell(
  commands: readonly Delete[],
  bodies: ReadonlyMap<string, string>,
  stored: Map<Sku, readonly number[]>,
  refused: ReadonlyMap<number, string>,
  recorded: Map<string, Recorded>,
): { outcomes: readonly DeleteOutcome[]; fresh: readonly Fresh[] } {
  const fresh: Fresh[] = []
  const outcomes = commands.map((command): DeleteOutcome => {
    const { messageId, fingerprint, body } = command
    const before = messageId === undefined ? undefined : recorded.get(messageId)
    if (messageId !== undefined) {
      const body = before?.fingerprint ?? bodies.get(messageId)
      if (body !== fingerprint) return { kind: 'message-id-reused', error: reused(messageId) }
      if (before !== undefined) return { kind: told.parse(before.outcome), repeated: true }
    }
    const ids = stored.get(body.sku)
    const why = ids?.map((id) => refused.get(id)).find((sentence) => sentence !== undefined)
    if (why !== undefined) return { kind: 'rejected-by-database', error: why }
    stored.delete(body.sku)
    const outcome = ids === undefined ? 'unknown-sku' : 'deleted'
    if (messageId !== undefined) {
      fresh.push({ messageId, fingerprint, outcome })
      recorded.set(messageId, { fingerprint, outcome })
    }
    return { kind: outcome, repeated: false }
  })
  return { outcomes, fresh }
}

const told = z.enum(['deleted', 'unknown-sku'])
const rows = z.array(z.object({ id: z.int(), sku: z.string().nullable() }))

/**
 * The ids of the rows with these skus, locked, so that what we say of them is still true when we commit. By the index and in its
 * order: a scan of the whole table would wait for rows that are none of ours, and another order than everybody's deadlocks.
 */
async function lockStored(sql: Sql, skus: readonly Sku[]): Promise<Map<Sku, readonly number[]>> {
  const select = 'SELECT id, sku FROM inventory FORCE INDEX (sku) WHERE'
  // String(): MySQL compares a number with a text as numbers, and `sku IN (0)` would be nearly every row.
  const texts = skus.filter((sku) => sku !== null).map(String)
  const found: unknown[] = []
  if (skus.includes(null)) found.push(await sql(`${select} sku IS NULL ORDER BY id FOR UPDATE`))
  if (texts.length > 0) found.push(await sql(`${select} sku IN (?) ORDER BY sku FOR UPDATE`, [texts]))
  const stored = new Map<Sku, number[]>()
  for (const { id, sku } of found.flatMap((each) => rows.parse(each))) stored.set(sku, [...(stored.get(sku) ?? []), id])
  return stored
}

/** Deletes rows; those that the database keeps (a foreign key, a trigger) are found by halving and named in `refused`. */
async function deleteHalving(sql: Sql, ids: readonly number[], refused: Map<number, string>): Promise<void> {
  if (ids.length === 0) return
  try {
    // Row by row through the primary key, whatever the optimizer thinks of the table: a scan would lock rows that are none of ours.
    const answer = await sql(
      `DELETE inventory FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS gone
       STRAIGHT_JOIN inventory FORCE INDEX (PRIMARY) ON inventory.id = gone.id`,
      [JSON.stringify(ids)],
    )
    assertChanged(answer, ids.length)
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    const [only] = ids
    if (ids.length === 1 && only !== undefined)
      return void refused.set(only, `MySQL refused to delete the item: ${sentenceOf(error)}`)
    const middle = ids.length >> 1
    await deleteHalving(sql, ids.slice(0, middle), refused)
    await deleteHalving(sql, ids.slice(middle), refused)
  }
}

/** Another consumer applied one of these messages while we did: what it recorded must be read first. */
function whenRecordedMeanwhile(error: unknown): never {
  if (errnoOf(error) === DUPLICATE_KEY) throw new RunAgain('a message was applied by another consumer meanwhile')
  throw error
}
