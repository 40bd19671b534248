// Counts effects where they happen, in the transaction that has them: triggers on the inventory, which the suite knows nothing of.
import type { Mysql } from 'local'
import type { Pool, RowDataPacket } from 'mysql2/promise'
import { z } from 'zod'

/** Lays the triggers into a migrated database. */
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
const applied = z.array(z.object({ id: z.string() }))

export interface Audit {
  readonly inserts: ReadonlyMap<string, number>
  readonly deletes: ReadonlyMap<string, number>
  readonly deletesApplied: ReadonlySet<string>
  readonly table: ReadonlyMap<string, string>
}

/** What the triggers have counted, and what is stored now. */
export async function readAudit(pool: Pool): Promise<Audit> {
  const query = async (sql: string) => (await pool.query<RowDataPacket[]>(sql))[0]
  const counted = effects.parse(await query('SELECT kind, sku, name FROM effect ORDER BY id'))
  const inserts = new Map<string, number>()
  const deletes = new Map<string, number>()
  for (const { kind, sku, name } of counted) {
    if (kind === 'insert') inserts.set(name, (inserts.get(name) ?? 0) + 1)
    else deletes.set(sku, (deletes.get(sku) ?? 0) + 1)
  }
  const recorded = await query(
    "SELECT CONVERT(message_id USING utf8mb4) AS id FROM inbox WHERE queue = 'stock_management'",
  )
  const stored = items.parse(await query('SELECT sku, name FROM inventory'))
  return {
    inserts,
    deletes,
    deletesApplied: new Set(applied.parse(recorded).map(({ id }) => id)),
    table: new Map(stored.map(({ sku, name }) => [sku, name])),
  }
}
