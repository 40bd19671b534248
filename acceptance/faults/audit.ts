// Counts the inserts and deletes of items. Triggers do this in the same transactions, so the suite needs no code for it.
import type { Pool, RowDataPacket } from 'mysql2/promise'
import type { Mysql } from 'testkit'
import { z } from 'zod'
import { type Decision, type Found, keyOf } from './ledger.ts'

/** Creates the triggers in a migrated database. */
export async function installAudit(mysql: Pick<Mysql, 'sql'>, database: string): Promise<void> {
  await mysql.sql(`
    USE \`${database}\`;
    CREATE TABLE effect (
      id BIGINT AUTO_INCREMENT PRIMARY KEY,
      kind ENUM('insert', 'delete') NOT NULL,
      item_id BIGINT NOT NULL,
      quantity BIGINT,
      sku VARCHAR(20) CHARACTER SET utf8mb4,
      name VARCHAR(100) CHARACTER SET utf8mb4
    ) ENGINE = InnoDB;
    CREATE TRIGGER count_insert AFTER INSERT ON inventory FOR EACH ROW
      INSERT INTO effect (kind, item_id, quantity, sku, name) VALUES ('insert', NEW.id, NEW.quantity, NEW.sku, NEW.name);
    CREATE TRIGGER count_delete AFTER DELETE ON inventory FOR EACH ROW
      INSERT INTO effect (kind, item_id, quantity, sku, name) VALUES ('delete', OLD.id, OLD.quantity, OLD.sku, OLD.name);
  `)
}

const item = z.object({ id: z.int(), sku: z.string(), name: z.string(), quantity: z.int() })
const effects = z.array(item.extend({ kind: z.enum(['insert', 'delete']) }))
const items = z.array(item)
const moved = z.array(
  z.object({
    id: z.int(),
    itemId: z.int(),
    messageId: z.string(),
    sku: z.string(),
    change: z.int(),
    before: z.int(),
    after: z.int(),
    reason: z.string(),
  }),
)
const verdicts = z.array(
  z.object({
    queue: z.string(),
    id: z.string(),
    outcome: z.string(),
    error: z.string().nullable(),
    epochMs: z.int(),
  }),
)

export type Audit = Pick<Found, 'inserts' | 'deletes' | 'inbox' | 'decisions' | 'table' | 'items' | 'movements'>

/** Reads what the triggers recorded, and the current rows of the inventory, the inbox and the movements. */
export async function readAudit(pool: Pool): Promise<Audit> {
  const query = async (sql: string) => (await pool.query<RowDataPacket[]>(sql))[0]
  const counted = effects.parse(await query('SELECT kind, item_id AS id, quantity, sku, name FROM effect ORDER BY id'))
  const inserts = new Map<string, number>()
  const deletes = new Map<string, number>()
  const created = new Map<number, z.infer<typeof item>>()
  const left = new Map<number, number>()
  for (const { kind, ...row } of counted) {
    if (kind === 'insert') {
      inserts.set(row.name, (inserts.get(row.name) ?? 0) + 1)
      created.set(row.id, row)
    } else {
      deletes.set(row.sku, (deletes.get(row.sku) ?? 0) + 1)
      left.set(row.id, row.quantity)
    }
  }
  const inbox = new Map<string, { applied: number[]; refused: number[] }>()
  const decisions = new Map<string, Decision[]>()
  const recorded = verdicts.parse(
    await query(
      `SELECT queue, CONVERT(message_id USING utf8mb4) AS id, outcome, error,
         TIMESTAMPDIFF(MICROSECOND, '1970-01-01', applied_at) DIV 1000 AS epochMs FROM inbox ORDER BY applied_at`,
    ),
  )
  for (const { queue, id, outcome, error, epochMs } of recorded) {
    // The inbox records a redrive with `#` and its number after the name of the queue.
    const [name = '', redrives = '0'] = queue.split('#')
    const key = keyOf(name, id)
    const of = inbox.get(key) ?? { applied: [], refused: [] }
    of[error === null ? 'applied' : 'refused'].push(Number(redrives))
    inbox.set(key, of)
    decisions.set(key, [...(decisions.get(key) ?? []), { epochMs, outcome, error, redrives: Number(redrives) }])
  }
  const stored = items.parse(await query('SELECT id, sku, name, quantity FROM inventory'))
  for (const { id, quantity } of stored) left.set(id, quantity)
  const movements = moved.parse(
    await query(
      `SELECT id, item_id AS itemId, CONVERT(message_id USING utf8mb4) AS messageId, sku, delta AS \`change\`,
         quantity_before AS \`before\`, quantity_after AS \`after\`, reason FROM movement`,
    ),
  )
  return {
    inserts,
    deletes,
    inbox,
    decisions,
    table: new Map(stored.map(({ sku, name }) => [sku, name])),
    items: [...created.values()].map(({ id, sku, quantity }) => ({
      id,
      sku,
      created: quantity,
      quantity: left.get(id) ?? Number.NaN,
    })),
    movements: Map.groupBy(movements, ({ reason }) => reason),
  }
}
