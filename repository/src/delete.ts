// Deletes a batch of items by sku in one transaction, with one outcome for each message.
import { z } from 'zod'
import type { Command, DeleteOutcome } from './contract.ts'
import type { Database } from './database.ts'
import { meaningOf, sentenceOf } from './errors.ts'
import { hasId, Verdicts } from './inbox.ts'
import type { Sql } from './server-pool.ts'
import { assertChanged, changedRows } from './stored.ts'
import { reused } from './verdicts.ts'

const QUEUE = 'stock_management'

type Sku = string | null
type Delete = Command<{ readonly sku: Sku }>
type RecordedOutcome = 'deleted' | 'unknown-sku'

/** After a batch had to run again, this many further batches read the inbox first. */
const CAREFUL_BATCHES = 10

/** Returns a function that applies a batch of deletes in one transaction. See Inventory.delete. */
export function deleterIn(database: Database): (commands: readonly Delete[]) => Promise<readonly DeleteOutcome[]> {
  // Without a lookup, a repeated message is noticed when its outcome is recorded, and the batch has to run again. That
  // costs more than the lookup, but a repeated message is rare.
  let careful = 0
  return async (commands) => {
    if (commands.length === 0) return []
    const mayBeRepeated = careful > 0 || commands.some(({ redelivered, redrives }) => redelivered || redrives > 0)
    careful = Math.max(0, careful - 1)
    return await database.transaction((sql, attempt) => {
      if (attempt > 1) careful = CAREFUL_BATCHES
      return deleteBatch(sql, commands, mayBeRepeated || attempt > 1)
    })
  }
}

async function deleteBatch(sql: Sql, commands: readonly Delete[], looksUp: boolean): Promise<readonly DeleteOutcome[]> {
  // Lock before reading the inbox: a replica that applied the same messages has committed by then, and its inbox rows are visible.
  const stored = await lockStored(
    sql,
    commands.map(({ body }) => body.sku),
  )
  const verdicts = looksUp ? await Verdicts.of(sql, QUEUE, commands) : Verdicts.none(QUEUE)
  const bodies = firstBodies(commands)
  const wanted = commands.filter(
    (command) =>
      verdicts.on(command) === undefined && (!hasId(command) || bodies.get(command.messageId) === command.fingerprint),
  )
  const skus = new Set(wanted.map(({ body }) => body.sku))
  const ids = [...skus].flatMap((sku) => (sku === null ? [] : (stored.get(sku) ?? [])))
  const refused = new Map<number, string>()
  await deleteHalving(
    sql,
    ids.sort((a, b) => a - b),
    refused,
  )
  if (skus.has(null)) await deleteAllOrNone(sql, stored.get(null) ?? [], refused)
  const outcomes = commands.map((command) => outcomeOf(command, { bodies, stored, refused, verdicts }))
  await verdicts.record(sql)
  return outcomes
}

/** For each message id, the fingerprint of the first message of the batch with this id. */
function firstBodies(commands: readonly Delete[]): Map<string, string> {
  const bodies = new Map<string, string>()
  for (const { messageId, fingerprint } of commands.filter(hasId))
    if (!bodies.has(messageId)) bodies.set(messageId, fingerprint)
  return bodies
}

interface Known {
  readonly bodies: ReadonlyMap<string, string>
  readonly stored: Map<Sku, readonly number[]>
  readonly refused: ReadonlyMap<number, string>
  readonly verdicts: Verdicts
}

/** The outcome of a command. The first command for a sku deletes its rows. The next one finds none. */
function outcomeOf(command: Delete, { bodies, stored, refused, verdicts }: Known): DeleteOutcome {
  const { messageId, fingerprint, body } = command
  const before = verdicts.on(command)
  if (messageId !== undefined && (before?.fingerprint ?? bodies.get(messageId)) !== fingerprint)
    return { kind: 'message-id-reused', error: reused(messageId) }
  if (before !== undefined && before.error !== null) return { kind: 'rejected-by-database', error: before.error }
  if (before !== undefined) return { kind: recordedOutcome.parse(before.outcome), repeated: true }
  const ids = stored.get(body.sku)
  const why = ids?.map((id) => refused.get(id)).find((sentence) => sentence !== undefined)
  if (why !== undefined) {
    verdicts.add(command, 'rejected-by-database', why)
    return { kind: 'rejected-by-database', error: why }
  }
  stored.delete(body.sku)
  const outcome: RecordedOutcome = ids === undefined ? 'unknown-sku' : 'deleted'
  verdicts.add(command, outcome, null)
  return { kind: outcome, repeated: false }
}

const recordedOutcome = z.enum(['deleted', 'unknown-sku'])
const rows = z.array(z.object({ id: z.int(), sku: z.string().nullable() }))

/**
 * Locks the rows with these skus until COMMIT, because the outcomes must still be true then. Resolves with their ids. Reads
 * in index order: a table scan would wait for unrelated rows, and replicas that lock in different orders deadlock.
 */
async function lockStored(sql: Sql, skus: readonly Sku[]): Promise<Map<Sku, readonly number[]>> {
  const select = 'SELECT id, sku FROM inventory FORCE INDEX (sku) WHERE'
  // String(): MySQL compares a number with text as numbers, and `sku IN (0)` would match nearly every row.
  const texts = skus.filter((sku) => sku !== null).map(String)
  const found: unknown[] = []
  if (skus.includes(null)) found.push(await sql(`${select} sku IS NULL ORDER BY id FOR UPDATE`))
  if (texts.length > 0) found.push(await sql(`${select} sku IN (?) ORDER BY sku FOR UPDATE`, [texts]))
  const stored = new Map<Sku, number[]>()
  for (const { id, sku } of found.flatMap((each) => rows.parse(each))) stored.set(sku, [...(stored.get(sku) ?? []), id])
  return stored
}

/** Deletes the rows of one message. If one of them is protected, deletes none, because a refused message has no effect. */
async function deleteAllOrNone(sql: Sql, ids: readonly number[], refused: Map<number, string>): Promise<void> {
  if (ids.length === 0) return
  await sql('SAVEPOINT rows_of_one_message')
  await deleteHalving(sql, ids, refused)
  if (ids.some((id) => refused.has(id))) await sql('ROLLBACK TO SAVEPOINT rows_of_one_message')
}

const leftRows = z.tuple([z.object({ n: z.coerce.number() })])

/** False only if the server says so: on a connection that responds twice, this response is that of another statement. */
const areAnyLeft = async (sql: Sql, ids: readonly number[]): Promise<boolean> =>
  leftRows.safeParse(await sql('SELECT COUNT(*) AS n FROM inventory WHERE id IN (?)', [ids])).data?.[0].n !== 0

/** Deletes rows. Splits a failing batch in halves, and adds each row that a foreign key or a trigger protects to `refused`. */
async function deleteHalving(sql: Sql, ids: readonly number[], refused: Map<number, string>): Promise<void> {
  if (ids.length === 0) return
  try {
    // The join forces access by primary key. For many ids the optimizer would scan the table and lock unrelated rows.
    const answer = await sql(
      `DELETE inventory FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS gone
       STRAIGHT_JOIN inventory FORCE INDEX (PRIMARY) ON inventory.id = gone.id`,
      [JSON.stringify(ids)],
    )
    // A foreign key that cascades within the inventory deletes a row with another one, and does not count it.
    if (changedRows(answer) !== ids.length && (await areAnyLeft(sql, ids))) assertChanged(answer, ids.length)
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
