// Storing items: the whole batch in two statements, and only when that fails, row by row to find the bad ones.
import { z } from 'zod'
import type { Sql } from './connections.ts'
import type { Command, CreateOutcome, NewItem } from './contract.ts'
import { type Database, RunAgain } from './database.ts'
import { errnoOf, meaningOf, sentenceOf } from './errors.ts'
import { findRecorded, hasId, type Recorded, record } from './inbox.ts'
import { duplicate, reused, sameContent } from './verdicts.ts'

const QUEUE = 'create_item'
const CREATED = 'created'
const DUPLICATE_KEY = 1062

type Create = Command<NewItem>
/** A command with its place in the batch. */
interface Placed {
  readonly index: number
  readonly command: Create
}

/** Applies creates in one transaction; see Inventory.create. */
export async function create(database: Database, commands: readonly Create[]): Promise<readonly CreateOutcome[]> {
  if (commands.length === 0) return []
  try {
    await database.transaction((sql) => insertAll(sql, commands))
    return commands.map(() => ({ kind: 'created', repeated: false }))
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    return await database.transaction((sql) => insertCarefully(sql, commands))
  }
}

/** Two statements for any number of items. Rejects, with part of the work done, when one row is refused. */
async function insertAll(sql: Sql, commands: readonly Create[]): Promise<void> {
  // One after the other: a deadlock ends the transaction, and a statement sent ahead of the news would commit by itself.
  const identified = commands.filter(hasId)
  await record(
    sql,
    QUEUE,
    identified.map(({ messageId, fingerprint }) => ({ messageId, fingerprint, outcome: CREATED })),
  )
  const rows = commands.map(({ body: { sku, name, label, price, quantity } }) => [sku, name, label, price, quantity])
  await sql('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
}

/** Sorts out what two reads can tell, then inserts the rest, halving what fails until the bad rows stand alone. */
async function insertCarefully(sql: Sql, commands: readonly Create[]): Promise<readonly CreateOutcome[]> {
  const outcomes = new Map<number, CreateOutcome>()
  const known = await lookUp(sql, commands)
  const rest: Placed[] = []
  for (const [index, command] of commands.entries()) {
    const outcome = judge(command, known)
    if (outcome) outcomes.set(index, outcome)
    else rest.push({ index, command })
  }
  await insertHalving(sql, rest, outcomes)
  return commands.map((_, index) => outcomes.get(index) ?? never(index))
}

async function insertHalving(sql: Sql, placed: readonly Placed[], outcomes: Map<number, CreateOutcome>): Promise<void> {
  if (placed.length === 0) return
  await sql('SAVEPOINT items')
  try {
    await insertAll(
      sql,
      placed.map(({ command }) => command),
    )
    for (const { index } of placed) outcomes.set(index, { kind: 'created', repeated: false })
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    await sql('ROLLBACK TO SAVEPOINT items')
    const [only] = placed
    if (placed.length === 1 && only) {
      outcomes.set(only.index, await refusal(sql, only.command, error))
      return
    }
    const middle = placed.length >> 1
    // In order, so that of two items with one sku the first is stored.
    await insertHalving(sql, placed.slice(0, middle), outcomes)
    await insertHalving(sql, placed.slice(middle), outcomes)
  }
}

/** Why this one command failed with `error`. Nothing of a refusal is recorded: the message may be sent again, mended. */
async function refusal(sql: Sql, command: Create, error: unknown): Promise<CreateOutcome> {
  if (errnoOf(error) !== DUPLICATE_KEY) return { kind: 'rejected-by-database', error: rowRefused(error) }
  const outcome = judge(command, await lookUp(sql, [command]))
  if (outcome) return outcome
  throw new RunAgain(`what collided with sku ${command.body.sku} was gone when it was looked up`)
}

interface Known {
  readonly recorded: Map<string, Recorded>
  readonly items: Map<string, NewItem>
}

/** What the inbox and the inventory hold already of these commands. */
async function lookUp(sql: Sql, commands: readonly Create[]): Promise<Known> {
  const messageIds = commands.filter(hasId).map(({ messageId }) => messageId)
  const recorded = await findRecorded(sql, QUEUE, messageIds)
  const skus = commands.map(({ body }) => body.sku)
  const rows = storedItems.parse(
    await sql('SELECT sku, name, label, price, quantity FROM inventory WHERE sku IN (?)', [skus]),
  )
  return { recorded, items: new Map(rows.map((row) => [row.sku, row])) }
}

const text = z.string().nullable().transform(String)
const number = z.union([z.string(), z.number()]).nullable().transform(Number)
const storedItems = z.array(z.object({ sku: text, name: text, label: text, price: number, quantity: number }))

/** The outcome that follows from what is stored already; undefined when nothing stands against inserting. */
function judge(command: Create, { recorded, items }: Known): CreateOutcome | undefined {
  const { messageId, fingerprint, redelivered, body } = command
  const before = messageId === undefined ? undefined : recorded.get(messageId)
  if (messageId !== undefined && before !== undefined) {
    if (before.fingerprint === fingerprint) return { kind: 'created', repeated: true }
    return { kind: 'message-id-reused', error: reused(messageId) }
  }
  const stored = items.get(body.sku)
  if (stored === undefined) return undefined
  // Without an id only the content tells whether this is what we stored before.
  if (messageId === undefined && redelivered && sameContent(stored, body)) return { kind: 'created', repeated: true }
  return { kind: 'duplicate-sku', error: duplicate(body.sku) }
}

/** What MySQL said, without the number of the row in a statement that the reader never saw. */
const rowRefused = (error: unknown): string =>
  `MySQL refused the item: ${sentenceOf(error).replace(/ at row \d+$/, '')}`

function never(index: number): never {
  throw new Error(`no outcome for command ${index}`)
}
