// Counts effects in the transactions that have them: triggers on the inventory, which the suite does not know about.

import type { Pool, RowDataPacket } from 'mysql2/promise'
import type { Mysql } from 'testkit'
import { z } from 'zod'
import { keyOf, type Recorded } from './ledger.ts'

/** Creates the triggers in a migrated database. */
export async function installAudit(mysql: Pick<Mysql, 'sql'>, database: string): Promise<void> {
  await mysql.sql(`
    USE \`${database}\`;
    CREATE TABLE effect (
      id BIGINT AUTO_INCREMENT PRIMARY KEY,
      kind ENUM('insert', 'delete') NOT NULL,
      sku VARCHAR(20) CHARACTER SET utf8mb4,
      name VARCHAR(100) CHARACTER SET utf8mb4
    ) ENGINE = InnoDB;
    CREATE TRIGGER count_insert AFTER INSERT ON inventory FOR EACH ROW
      INSERT INTO effect (kind, sku, name) VALUES ('insert', NEW.sku, NEW.name);
    CREATE TRIGGER count_delete AFTER DELETE ON inventory FOR EACH ROW
      INSERT INTO effect (kind, sku, name) VALUES ('delete', OLD.sku, OLD.name);
  `)
}

const effects = z.array(z.object({ kind: z.enum(['insert', 'delete']), sku: z.string(), name: z.string() }))
const items = z.array(z.object({ sku: z.string(), name: z.string() }))
const verdicts = z.array(z.object({ queue: z.string(), id: z.string(), error: z.string().nullable() }))

export interface Audit {
  readonly inserts: ReadonlyMap<string, number>
  readonly deletes: ReadonlyMap<string, number>
  readonly inbox: ReadonlyMap<string, Recorded>
  readonly table: ReadonlyMap<string, string>
}

/** The counts of the triggers, and the rows stored now. */
export async function readAudit(pool: Pool): Promise<Audit> {
  const query = async (sql: string) => (await pool.query<RowDataPacket[]>(sql))[0]
  const counted = effects.parse(await query('SELECT kind, sku, name FROM effect ORDER BY id'))
  const inserts = new Map<string, number>()
  const deletes = new Map<string, number>()
  for (const { kind, sku, name } of counted) {
    if (kind === 'insert') inserts.set(name, (inserts.get(name) ?? 0) + 1)
    else deletes.set(sku, (deletes.get(sku) ?? 0) + 1)
  }
  const inbox = new Map<string, { applied: number[]; refused: number[] }>()
  const recorded = verdicts.parse(
    await query('SELECT queue, CONVERT(message_id USING utf8mb4) AS id, error FROM inbox'),
  )
  for (const { queue, id, error } of recorded) {
    // A redrive is recorded as a separate queue.
    const [name = '', redrives = '0'] = queue.split('#')
    const key = keyOf(name, id)
    const of = inbox.get(key) ?? { applied: [], refused: [] }
    of[error === null ? 'applied' : 'refused'].push(Number(redrives))
    inbox.set(key, of)
  }
  const stored = items.parse(await query('SELECT sku, name FROM inventory'))
  return {
    inserts,
    deletes,
    inbox,
    table: new Map(stored.map(({ sku, name }) => [sku, name])),
  }
}
