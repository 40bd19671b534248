// Storing items: a whole batch in two statements, and with more care when a row of it, or of the batch before, was refused.
import { z } from 'zod'
import type { Command, CreateOutcome, NewItem } from './contract.ts'
import type { Database } from './database.ts'
import { DatabaseError, duplicateIdOf, duplicateKeyOf, meaningOf, RunAgain, sentenceOf } from './errors.ts'
import { findRecorded, hasId, type Recorded, record } from './inbox.ts'
import type { Sql } from './server-pool.ts'
import { assertItemsStored } from './stored.ts'
import { duplicate, reused, type StoredItem, sameContent } from './verdicts.ts'

const QUEUE = 'create_item'
const CREATED = 'created'
/** Batches that are looked up first after one that a row was refused in. */
const CAREFUL_BATCHES = 10

/** Attempt of a transaction from which duplicates that keep coming are found by halving. */
const HALVING_FROM = 4

type Create = Command<NewItem>
/** A command with its place in the batch. */
interface Placed {
  readonly index: number
  readonly command: Create
}

/** Applies creates, a batch in one transaction; see Inventory.create. */
export function creatorIn(database: Database): (commands: readonly Create[]) => Promise<readonly CreateOutcome[]> {
  // A statement that fails on a duplicate has used up an id for each of its rows, and the work is done twice. Where duplicates
  // are common they are looked up before, where they are rare that would cost more than it saves.
  let careful = 0
  return async (commands) => {
    if (commands.length === 0) return []
    if (careful > 0) careful -= 1
    else {
      const outcomes = await insertAtOnce(database, commands)
      if (outcomes) return outcomes
    }
    const outcomes = await database.transaction((sql, attempt) => insertCarefully(sql, commands, attempt))
    if (outcomes.some(({ kind, ...outcome }) => kind !== CREATED || ('repeated' in outcome && outcome.repeated)))
      careful = CAREFUL_BATCHES
    return outcomes
  }
}

/** Undefined when a row was refused; nothing is stored then. */
async function insertAtOnce(
  database: Database,
  commands: readonly Create[],
): Promise<readonly CreateOutcome[] | undefined> {
  try {
    return await database.transaction(async (sql, attempt) => {
      // Who lost to another transaction goes on as everybody does then: in the order of sku.
      if (attempt > 1) return await insertCarefully(sql, commands, attempt)
      await insert(sql, commands)
      return commands.map(() => ({ kind: CREATED, repeated: false }))
    })
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    return undefined
  }
}

/** Two statements for any number of items. Rejects, with part of the work done, when one row is refused. */
async function insert(sql: Sql, commands: readonly Create[]): Promise<void> {
  // One after the other: a deadlock ends the transaction, and a statement sent ahead of the news would commit by itself.
  const identified = commands.filter(hasId)
  await record(
    sql,
    QUEUE,
    identified.map(({ messageId, fingerprint }) => ({ messageId, fingerprint, outcome: CREATED })),
  )
  const rows = commands.map(({ body: { sku, name, label, price, quantity } }) => [sku, name, label, price, quantity])
  try {
    const answer = await sql('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    assertItemsStored(answer, rows.length)
  } catch (error) {
    if (!(await isIdTaken(sql, duplicateIdOf(error)))) throw error
    throw new DatabaseError(`no ids are left in the table inventory: ${sentenceOf(error)}`, { transient: true })
  }
}

/** MariaDB does not say of which table a key is, and a trigger may write to another one. */
async function isIdTaken(sql: Sql, id: string | undefined): Promise<boolean> {
  if (id === undefined) return false
  return z.array(z.unknown()).parse(await sql('SELECT 1 FROM inventory WHERE id = ?', [id])).length > 0
}

/**
 * Sorts out what is stored already, then inserts the rest in the order of sku: two transactions that insert the same items in
 * different orders would deadlock. A command whose sku or id an earlier one of the batch has waits for what becomes of that one.
 */
async function insertCarefully(
  sql: Sql,
  commands: readonly Create[],
  attempt: number,
): Promise<readonly CreateOutcome[]> {
  const known = await lookUp(sql, commands)
  const outcomes = new Map<number, CreateOutcome>()
  let rest: readonly Placed[] = commands.map((command, index) => ({ index, command }))
  while (rest.length > 0) {
    const first: Placed[] = []
    const later: Placed[] = []
    const claimed = new Set<string>()
    for (const placed of rest) {
      const outcome = judge(placed.command, known)
      if (outcome) {
        outcomes.set(placed.index, outcome)
        continue
      }
      const keys = keysOf(placed.command)
      if (keys.some((key) => claimed.has(key))) later.push(placed)
      else first.push(placed)
      for (const key of keys) claimed.add(key)
    }
    await insertHalving(sql, first.sort(bySku), outcomes, known, attempt < HALVING_FROM)
    rest = later
  }
  return commands.map((_, index) => outcomes.get(index) ?? never(index))
}

const keysOf = ({ messageId, body }: Create): string[] => [
  `sku ${body.sku}`,
  ...(messageId === undefined ? [] : [`id ${messageId}`]),
]

const bySku = ({ command: a }: Placed, { command: b }: Placed): number => (a.body.sku < b.body.sku ? -1 : 1)

/**
 * Halves what fails until the refused rows stand alone. Keeps `known` up to date. A duplicate has come since the look-up: if
 * that is `isNews`, another look-up is quicker than halving, and keeps no locks meanwhile.
 */
async function insertHalving(
  sql: Sql,
  placed: readonly Placed[],
  outcomes: Map<number, CreateOutcome>,
  known: Known,
  isNews: boolean,
): Promise<void> {
  if (placed.length === 0) return
  await sql('SAVEPOINT items')
  try {
    await insert(
      sql,
      placed.map(({ command }) => command),
    )
    for (const { index, command } of placed) {
      outcomes.set(index, { kind: CREATED, repeated: false })
      remember(known, command)
    }
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    if (isNews && isOfAnItem(duplicateKeyOf(error)))
      throw new RunAgain('an item was stored by another consumer meanwhile')
    await sql('ROLLBACK TO SAVEPOINT items')
    const [only] = placed
    if (placed.length === 1 && only) {
      outcomes.set(only.index, await refusal(sql, only.command, error, isNews))
      return
    }
    const middle = placed.length >> 1
    await insertHalving(sql, placed.slice(0, middle), outcomes, known, isNews)
    await insertHalving(sql, placed.slice(middle), outcomes, known, isNews)
  }
}

/** Why this one command failed with `error`. Nothing of a refusal is recorded: the message may be sent again, mended. */
async function refusal(sql: Sql, command: Create, error: unknown, isNews: boolean): Promise<CreateOutcome> {
  // A key that somebody added to the table is like any other rule of the database's.
  if (!isOfAnItem(duplicateKeyOf(error))) return { kind: 'rejected-by-database', error: rowRefused(error) }
  const outcome = judge(command, await lookUp(sql, [command]))
  if (outcome) return outcome
  // Gone in between; or, if that goes on, a key of the same name in a table that a trigger writes to.
  if (!isNews) return { kind: 'rejected-by-database', error: rowRefused(error) }
  throw new RunAgain(`what collided with sku ${command.body.sku} was gone when it was looked up`)
}

/** The keys that tell a duplicate item or message. */
const isOfAnItem = (key: string | undefined): boolean => key === 'sku' || key === 'PRIMARY'

interface Known {
  readonly recorded: Map<string, Recorded>
  readonly items: Map<string, StoredItem>
}

/** What the inventory and the inbox hold already of these commands. */
async function lookUp(sql: Sql, commands: readonly Create[]): Promise<Known> {
  const skus = commands.map(({ body }) => body.sku)
  // The items first: what another replica commits between the two reads is then found in the inbox, and never taken for a
  // duplicate of itself.
  const rows = storedItems.parse(
    await sql('SELECT sku, name, label, price, quantity FROM inventory WHERE sku IN (?)', [skus]),
  )
  const messageIds = commands.filter(hasId).map(({ messageId }) => messageId)
  const recorded = await findRecorded(sql, QUEUE, messageIds)
  return { recorded, items: new Map(rows.map((row) => [row.sku, row])) }
}

function remember({ recorded, items }: Known, { messageId, fingerprint, body }: Create): void {
  if (messageId !== undefined) recorded.set(messageId, { fingerprint, outcome: CREATED })
  items.set(body.sku, body)
}

const text = z.string().nullable()
const number = z
  .union([z.string(), z.number()])
  .nullable()
  .transform((value) => (value === null ? null : Number(value)))
const storedItems = z.array(z.object({ sku: z.string(), name: text, label: text, price: number, quantity: number }))

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
