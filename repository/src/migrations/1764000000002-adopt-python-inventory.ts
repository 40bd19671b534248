// Adopts the Python suite's table inventory: converts FLOAT prices to DECIMAL as displayed, and text to utf8mb4 that compares byte for byte.
import type { MigrationInterface, QueryRunner } from 'typeorm'
import { z } from 'zod'
import { errnoOf } from '../errors.ts'
import { MigrationRefused } from '../migration-refused.ts'
import { exactCollation } from './collation.ts'

/** Holds the converted prices until they replace the column `price`. */
const CONVERTED = 'price_as_shown'
/** Maximum number of rows that an error names. */
const NAMED_MAX = 20

const columns = z.array(z.object({ name: z.string(), type: z.string(), collation: z.string().nullable() }))
const rows = z.array(z.object({ id: z.int(), sku: z.string().nullable(), price: z.string() }))

/** MySQL keeps a column to which a generated column, a functional key or a default refers. MariaDB does not. */
const DEPENDENT: ReadonlySet<number | undefined> = new Set([3108, 3837, 3766])

/** Safe to run again after an interruption at any point, because it starts from the current state. */
export class AdoptPythonInventory1764000000002 implements MigrationInterface {
  readonly name = 'AdoptPythonInventory1764000000002'

  async up(runner: QueryRunner): Promise<void> {
    const before = await columnsOf(runner)
    const isFloat = before.some(({ name, type }) => name === 'price' && type !== 'decimal')
    if (isFloat) await refusePricesOutOfRange(runner)
    if (before.some(({ name }) => name === CONVERTED))
      await runner.query(`ALTER TABLE inventory DROP COLUMN ${CONVERTED}`)
    if (isFloat) await convertPrices(runner)
    const collation = await exactCollation((statement, parameters) => runner.query(statement, parameters))
    if (before.some((column) => column.collation !== null && column.collation !== collation))
      await runner.query(`ALTER TABLE inventory CONVERT TO CHARACTER SET utf8mb4 COLLATE ${collation}`)
  }

  async down(): Promise<void> {
    throw new Error('prices are not converted back to FLOAT: that would lose digits')
  }
}

async function columnsOf(runner: QueryRunner): Promise<z.infer<typeof columns>> {
  const found: unknown = await runner.query(
    `SELECT LOWER(column_name) AS name, data_type AS type, collation_name AS collation FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'inventory'`,
  )
  return columns.parse(found)
}

/** Runs before anything is changed: a price that does not fit into DECIMAL(15,4) must not be truncated. An operator must correct it. */
async function refusePricesOutOfRange(runner: QueryRunner): Promise<void> {
  const found: unknown = await runner.query(
    `SELECT id, sku, CONCAT(price) AS price FROM inventory
     WHERE ABS(CONCAT(price) + 0e0) >= 99999999999.99995 ORDER BY id LIMIT ${NAMED_MAX + 1}`,
  )
  const beyond = rows.parse(found)
  if (beyond.length === 0) return
  const named = beyond
    .slice(0, NAMED_MAX)
    .map(({ id, sku, price }) => `id ${id} (sku ${JSON.stringify(sku)}): ${price}`)
  const more = beyond.length > NAMED_MAX ? ', and more' : ''
  throw new MigrationRefused(
    `prices in the table inventory do not fit into DECIMAL(15,4); correct or delete these rows, then migrate again: ${named.join(', ')}${more}`,
  )
}

/**
 * The server displays a FLOAT with six digits, and so did the listing: 1234567.875 appeared as 1234570. A plain MODIFY
 * would convert the stored bits instead, so this converts the displayed text. It locks the table, because otherwise a row
 * that a Python peer inserts between the last two statements would lose its price.
 */
async function convertPrices(runner: QueryRunner): Promise<void> {
  await runner.query('LOCK TABLES inventory WRITE')
  try {
    await runner.query(
      `ALTER TABLE inventory ADD COLUMN ${CONVERTED} DECIMAL(15,4) AS (CAST(CONCAT(price) AS DECIMAL(15,4))) STORED`,
    )
    await runner.query(`ALTER TABLE inventory MODIFY COLUMN ${CONVERTED} DECIMAL(15,4) NULL`)
    await runner.query(
      `ALTER TABLE inventory DROP COLUMN price, CHANGE COLUMN ${CONVERTED} price DECIMAL(15,4) NULL AFTER label`,
    )
  } catch (error) {
    if (!DEPENDENT.has(errnoOf(error))) throw error
    await runner.query(`ALTER TABLE inventory DROP COLUMN ${CONVERTED}`)
    const why = error instanceof Error ? error.message : String(error)
    throw new MigrationRefused(
      `the type of the column price of the table inventory must change: ${why} Drop what refers to it, migrate, and create it again`,
    )
  } finally {
    // A lost connection has released the lock already. The original error is the one to report.
    await runner.query('UNLOCK TABLES').catch(() => {})
  }
}
