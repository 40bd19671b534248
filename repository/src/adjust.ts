// Applies a batch of changes of stock in one transaction, with one movement for each applied message.
import { z } from 'zod'
import { ADJUSTMENT_REFUSALS, type Adjustment, type AdjustOutcome, type Command } from './contract.ts'
import type { Database } from './database.ts'
import { meaningOf, sentenceOf } from './errors.ts'
import { hasId, type Identified, Verdicts } from './inbox.ts'
import type { Sql } from './server-pool.ts'
import { assertChanged } from './stored.ts'
import { type Applied, adjusted, type Quantity, reportedAgain, reused, withoutId } from './verdicts.ts'

const QUEUE = 'stock_adjustment'
const ADJUSTED = 'adjusted'

type Adjust = Command<Adjustment>

/** Applies changes of stock in one transaction. See Inventory.adjust. */
export async function adjustStock(database: Database, commands: readonly Adjust[]): Promise<readonly AdjustOutcome[]> {
  if (commands.length === 0) return []
  return await database.transaction((sql) => adjustHalving(sql, commands))
}

/** Splits a failing batch in halves until each refused change is in a batch of its own. Applies the first half before the second. */
async function adjustHalving(sql: Sql, commands: readonly Adjust[]): Promise<readonly AdjustOutcome[]> {
  await sql('SAVEPOINT changes')
  try {
    return await adjustBatch(sql, commands)
  } catch (error) {
    if (meaningOf(error) !== 'row') throw error
    await sql('ROLLBACK TO SAVEPOINT changes')
    const [only] = commands
    if (commands.length === 1 && only)
      return [await refuse(sql, only, `MySQL refused the change: ${sentenceOf(error)}`)]
    const middle = commands.length >> 1
    const first = await adjustHalving(sql, commands.slice(0, middle))
    return [...first, ...(await adjustHalving(sql, commands.slice(middle)))]
  }
}

async function refuse(sql: Sql, command: Adjust, error: string): Promise<AdjustOutcome> {
  const verdicts = await Verdicts.of(sql, QUEUE, [command])
  verdicts.add(command, 'rejected-by-database', error)
  await verdicts.record(sql)
  return { kind: 'rejected-by-database', error }
}

async function adjustBatch(sql: Sql, commands: readonly Adjust[]): Promise<readonly AdjustOutcome[]> {
  // Lock before reading the inbox: a replica that applied the same messages has committed by then, and its inbox rows are visible.
  const batch = new Batch(await lockItems(sql, commands), await appliedBefore(sql, commands))
  const verdicts = await Verdicts.of(sql, QUEUE, commands)
  const outcomes = commands.map((command) => batch.judge(command, verdicts))
  await batch.write(sql)
  await verdicts.record(sql)
  return outcomes
}

interface Item extends Quantity {
  readonly id: number
  readonly sku: string
}

interface Moved {
  readonly command: Identified<Adjustment>
  readonly item: Item
  readonly before: number
  readonly after: number
}

/** Applies the changes of a batch one after the other. Each sees the result of the previous ones. */
class Batch {
  readonly #items: ReadonlyMap<string, Item>
  /** The change that each applied message made, by message id. */
  readonly #applied: Map<string, Applied>
  readonly #moved: Moved[] = []

  constructor(items: ReadonlyMap<string, Item>, applied: Map<string, Applied>) {
    this.#items = items
    this.#applied = applied
  }

  judge(command: Adjust, verdicts: Verdicts): AdjustOutcome {
    if (!hasId(command)) return { kind: 'no-message-id', error: withoutId }
    const { messageId, fingerprint, body } = command
    const verdict = verdicts.on(command)
    if (verdict !== undefined && verdict.fingerprint !== fingerprint)
      return { kind: 'message-id-reused', error: reused(messageId) }
    if (verdict !== undefined && verdict.error !== null)
      return { kind: refusal.parse(verdict.outcome), error: verdict.error }
    const applied = this.#applied.get(messageId)
    if (applied !== undefined) return reportedAgain(messageId, body, applied)
    const item = this.#items.get(body.sku)
    const outcome = adjusted(item, body)
    if (outcome.kind !== ADJUSTED) verdicts.add(command, outcome.kind, outcome.error)
    else if (item)
      this.#move({ command, item, before: outcome.quantity - body.change, after: outcome.quantity }, verdicts)
    return outcome
  }

  #move(moved: Moved, verdicts: Verdicts): void {
    moved.item.quantity = moved.after
    this.#moved.push(moved)
    this.#applied.set(moved.command.messageId, { ...moved.command.body, quantityAfter: moved.after })
    verdicts.add(moved.command, ADJUSTED, null)
  }

  /** Updates each changed item once, and stores one movement for each change. */
  async write(sql: Sql): Promise<void> {
    if (this.#moved.length === 0) return
    const first = new Map<Item, number>()
    for (const { item, before } of this.#moved) if (!first.has(item)) first.set(item, before)
    const changed = [...first]
      .filter(([item, before]) => item.quantity !== before)
      .map(([{ id, quantity }]) => ({ id, quantity }))
    if (changed.length > 0)
      assertChanged(
        await sql(
          `UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$.id', quantity BIGINT PATH '$.quantity')) AS wanted
           STRAIGHT_JOIN inventory FORCE INDEX (PRIMARY) ON inventory.id = wanted.id
           SET inventory.quantity = wanted.quantity`,
          [JSON.stringify(changed)],
        ),
        changed.length,
      )
    const rows = this.#moved.map(({ command: { messageId, body }, item, before, after }) => [
      messageId,
      item.id,
      item.sku,
      body.change,
      before,
      after,
      body.reason,
      body.by ?? null,
      body.requestId ?? null,
    ])
    const answer = await sql(
      `INSERT INTO movement
         (message_id, item_id, sku, delta, quantity_before, quantity_after, reason, requested_by, request_id) VALUES ?`,
      [rows],
    )
    assertChanged(answer, rows.length)
  }
}

const refusal = z.enum(ADJUSTMENT_REFUSALS)
const items = z.array(z.object({ id: z.int(), sku: z.string(), quantity: z.coerce.number().nullable() }))
const movedBefore = z.array(
  z.object({
    id: z.string(),
    sku: z.string(),
    change: z.coerce.number(),
    reason: z.string(),
    quantityAfter: z.coerce.number(),
  }),
)

/** Locks the rows with these skus in index order, because replicas that lock in different orders deadlock. */
async function lockItems(sql: Sql, commands: readonly Adjust[]): Promise<Map<string, Item>> {
  const rows = await sql(
    'SELECT id, sku, quantity FROM inventory FORCE INDEX (sku) WHERE sku IN (?) ORDER BY sku FOR UPDATE',
    [[...new Set(commands.map(({ body }) => body.sku))]],
  )
  return new Map(items.parse(rows).map((item) => [item.sku, item]))
}

/** Reads the changes that these messages already made, by message id. A movement remains after its inbox entry was deleted. */
async function appliedBefore(sql: Sql, commands: readonly Adjust[]): Promise<Map<string, Applied>> {
  const ids = commands.filter(hasId).map(({ messageId }) => messageId)
  if (ids.length === 0) return new Map()
  const rows = await sql(
    `SELECT CONVERT(message_id USING utf8mb4) AS id, sku, delta AS \`change\`, reason, quantity_after AS quantityAfter
     FROM movement WHERE message_id IN (?)`,
    [ids],
  )
  return new Map(movedBefore.parse(rows).map(({ id, ...applied }) => [id, applied]))
}
