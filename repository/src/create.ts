// Stores a batch of items in two statements. Looks up existing items first if a row of this batch or of a recent batch was refused.
import { z } from 'zod'
import { type Command, type CreateOutcome, type NewItem, REFUSALS } from './contract.ts'
import type { Database } from './database.ts'
import { DatabaseError, duplicateIdOf, duplicateKeyOf, meaningOf, RunAgain, sentenceOf } from './errors.ts'
import { recordApplied, Verdicts } from './inbox.ts'
import type { Sql } from './server-pool.ts'
import { assertItemsStored } from './stored.ts'
import { duplicate, reused, type StoredItem, sameContent } from './verdicts.ts'

const QUEUE = 'create_item'
const CREATED = 'created'
/** After a refused row, this many batches are looked up before they are inserted. */
const CAREFUL_BATCHES = 10

/** From this attempt on, halving finds the duplicates. Until then, each new duplicate of another consumer causes another lookup. */
const HALVING_FROM = 4

type Create = Command<NewItem>
/** A command with its position in the batch. */
interface Placed {
  readonly index: number
  readonly command: Create
}

/** Returns a function that applies a batch of creates in one transaction. See Inventory.create. */
export function creatorIn(database: Database): (commands: readonly Create[]) => Promise<readonly CreateOutcome[]> {
  // An INSERT that fails on a duplicate uses up an id for each of its rows, and the batch has to be inserted again. A
  // lookup avoids that, but costs more than it saves while duplicates are rare.
  let careful = 0
  return async (commands) => {
    if (commands.length === 0) return []
    // An INSERT notices only an earlier outcome with the same number of redrives. A redriven message may have another one.
    const isRedriven = commands.some(({ redrives }) => redrives > 0)
    if (careful > 0) careful -= 1
    else if (!isRedriven) {
      const outcomes = await insertAtOnce(database, commands)
      if (outcomes) return outcomes
    }
    const outcomes = await database.transaction((sql, attempt) => insertCarefully(sql, commands, attempt))
    if (outcomes.some(({ kind, ...outcome }) => kind !== CREATED || ('repeated' in outcome && outcome.repeated)))
      careful = CAREFUL_BATCHES
    return outcomes
  }
}

/** Inserts the items without a lookup. Resolves with undefined, and stores nothing, when a row is refused. */
async function insertAtOnce(
  database: Database,
  commands: readonly Create[],
): Promise<readonly CreateOutcome[] | undefined> {
  try {
    return await database.transaction(async (sql, attempt) => {
      // A retry inserts in sku order, so that two replicas that retry do not deadlock again.
      if (attempt > 1) return await insertCarefully(sql, commands, attempt)
      await insert(sql, commands, Verdicts.none(QUEUE))
      return commands.map(() => ({ kind: CREATED, repeated: false }))
    })
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    return undefined
  }
}

/** Uses two statements for any number of items. Rejects when a row is refused; the caller must then roll back. */
async function insert(sql: Sql, commands: readonly Create[], verdicts: Verdicts): Promise<void> {
  // Sends the statements one after the other: a deadlock ends the transaction, and a statement that was already sent would then commit by itself.
  await recordApplied(sql, verdicts, commands, CREATED)
  const rows = commands.map(({ body: { sku, name, label, price, quantity } }) => [sku, name, label, price, quantity])
  try {
    const answer = await sql('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    assertItemsStored(answer, rows.length)
  } catch (error) {
    if (!(await isIdTaken(sql, duplicateIdOf(error)))) throw error
    throw new DatabaseError(`the table inventory has no ids left: ${sentenceOf(error)}`, { transient: true })
  }
}

/**
 * Whether the inventory has this id. The error about a duplicate id does not show it: MariaDB does not report the table of
 * a key, and the key may be in another table that a trigger writes to.
 */
async function isIdTaken(sql: Sql, id: string | undefined): Promise<boolean> {
  if (id === undefined) return false
  return z.array(z.unknown()).parse(await sql('SELECT 1 FROM inventory WHERE id = ?', [id])).length > 0
}

/**
 * Settles the commands whose message or item is already stored, then inserts the rest in sku order: two transactions that
 * insert the same items in different orders would deadlock. A command with the sku or message id of an earlier one in the
 * batch is inserted after the outcome of that one is known.
 */
async function insertCarefully(
  sql: Sql,
  commands: readonly Create[],
  attempt: number,
): Promise<readonly CreateOutcome[]> {
  const known = await lookUp(sql, commands)
  const outcomes = new Map<number, CreateOutcome>()
  const settle = ({ index, command }: Placed, outcome: CreateOutcome) => {
    outcomes.set(index, outcome)
    remember(known, command, outcome)
  }
  let rest: readonly Placed[] = commands.map((command, index) => ({ index, command }))
  while (rest.length > 0) {
    const first: Placed[] = []
    const later: Placed[] = []
    const claimed = new Set<string>()
    for (const placed of rest) {
      const outcome = judge(placed.command, known)
      if (outcome) {
        settle(placed, outcome)
        continue
      }
      const keys = keysOf(placed.command)
      if (keys.some((key) => claimed.has(key))) later.push(placed)
      else first.push(placed)
      for (const key of keys) claimed.add(key)
    }
    await insertHalving(sql, first.sort(bySku), {
      settle,
      verdicts: known.verdicts,
      mayLookUpAgain: attempt < HALVING_FROM,
    })
    rest = later
  }
  await known.verdicts.record(sql)
  return commands.map((_, index) => outcomes.get(index) ?? never(index))
}

const keysOf = ({ messageId, body }: Create): string[] => [
  `sku ${body.sku}`,
  ...(messageId === undefined ? [] : [`id ${messageId}`]),
]

const bySku = ({ command: a }: Placed, { command: b }: Placed): number => (a.body.sku < b.body.sku ? -1 : 1)

interface Settling {
  readonly settle: (placed: Placed, outcome: CreateOutcome) => void
  readonly verdicts: Verdicts
  /**
   * Whether a duplicate that was stored after the lookup restarts the transaction. Another lookup is faster than halving
   * and holds no locks.
   */
  readonly mayLookUpAgain: boolean
}

/** Splits a failing batch in halves until each refused row is in a batch of its own. */
async function insertHalving(sql: Sql, placed: readonly Placed[], settling: Settling): Promise<void> {
  if (placed.length === 0) return
  await sql('SAVEPOINT items')
  try {
    await insert(
      sql,
      placed.map(({ command }) => command),
      settling.verdicts,
    )
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    if (settling.mayLookUpAgain && isOfAnItem(duplicateKeyOf(error)))
      throw new RunAgain('an item was stored by another consumer meanwhile')
    await sql('ROLLBACK TO SAVEPOINT items')
    const [only] = placed
    if (placed.length === 1 && only)
      return settling.settle(only, await refusal(sql, only.command, error, settling.mayLookUpAgain))
    const middle = placed.length >> 1
    await insertHalving(sql, placed.slice(0, middle), settling)
    return await insertHalving(sql, placed.slice(middle), settling)
  }
  for (const each of placed) settling.settle(each, { kind: CREATED, repeated: false })
}

/** The outcome of the one command whose INSERT failed with `error`. */
async function refusal(sql: Sql, command: Create, error: unknown, mayLookUpAgain: boolean): Promise<CreateOutcome> {
  // A unique key that somebody added is a rule of the database, not a duplicate sku.
  if (!isOfAnItem(duplicateKeyOf(error))) return { kind: 'rejected-by-database', error: rowRefused(error) }
  const outcome = judge(command, await lookUp(sql, [command]))
  if (outcome) return outcome
  // The row was deleted before this lookup. If none is found on later attempts either, the key is in a table that a trigger writes to.
  if (!mayLookUpAgain) return { kind: 'rejected-by-database', error: rowRefused(error) }
  throw new RunAgain(`the row that collided with sku ${command.body.sku} was deleted before it was looked up`)
}

/** The keys whose violation means a duplicate item or message. */
const isOfAnItem = (key: string | undefined): boolean => key === 'sku' || key === 'PRIMARY'

interface Known {
  readonly verdicts: Verdicts
  readonly items: Map<string, StoredItem>
}

/** Reads what the inventory and the inbox already contain for these commands. */
async function lookUp(sql: Sql, commands: readonly Create[]): Promise<Known> {
  const skus = commands.map(({ body }) => body.sku)
  // Read the items first: if another replica commits one of these messages between the two reads, the inbox shows it. In
  // the other order, a message could be refused as a duplicate of itself.
  const rows = storedItems.parse(
    await sql('SELECT sku, name, label, price, quantity FROM inventory WHERE sku IN (?)', [skus]),
  )
  const verdicts = await Verdicts.of(sql, QUEUE, commands)
  return { verdicts, items: new Map(rows.map((row) => [row.sku, row])) }
}

/** Remembers an outcome, so that later messages of the batch are checked against it. */
function remember({ verdicts, items }: Known, command: Create, outcome: CreateOutcome): void {
  if (outcome.kind === 'created') {
    // Its inbox row is written with the item.
    if (!outcome.repeated) {
      items.set(command.body.sku, command.body)
      verdicts.note(command, CREATED, null)
    }
  } else if (outcome.kind !== 'message-id-reused' && verdicts.on(command) === undefined)
    verdicts.add(command, outcome.kind, outcome.error)
}

const text = z.string().nullable()
const number = z
  .union([z.string(), z.number()])
  .nullable()
  .transform((value) => (value === null ? null : Number(value)))
const storedItems = z.array(z.object({ sku: z.string(), name: text, label: text, price: number, quantity: number }))

/** The outcome that follows from stored data. Undefined when the command can be inserted. */
function judge(command: Create, { verdicts, items }: Known): CreateOutcome | undefined {
  const { messageId, fingerprint, redelivered, body } = command
  const before = verdicts.on(command)
  if (messageId !== undefined && before !== undefined) {
    if (before.fingerprint !== fingerprint) return { kind: 'message-id-reused', error: reused(messageId) }
    if (before.error === null) return { kind: 'created', repeated: true }
    return { kind: refusalKind.parse(before.outcome), error: before.error }
  }
  const stored = items.get(body.sku)
  if (stored === undefined) return undefined
  // Without an id, only equal content shows that this message was stored before.
  if (messageId === undefined && redelivered && sameContent(stored, body)) return { kind: 'created', repeated: true }
  return { kind: 'duplicate-sku', error: duplicate(body.sku) }
}

const refusalKind = z.enum(REFUSALS)

/** MySQL's message without the row number, which refers to a batch that the reader cannot see. */
const rowRefused = (error: unknown): string =>
  `MySQL refused the item: ${sentenceOf(error).replace(/ at row \d+$/, '')}`

function never(index: number): never {
  throw new Error(`no outcome for command ${index}`)
}
