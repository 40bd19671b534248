// Checks the tables before and after the migrations. Fixes what is safe to fix, and reports what an operator must decide.
import type { QueryRunner } from 'typeorm'
import { z } from 'zod'
import { errnoOf } from './errors.ts'
import { MigrationRefused } from './migration-refused.ts'
import { AdoptPythonInventory1764000000002 } from './migrations/1764000000002-adopt-python-inventory.ts'
import { type Fault, faultsOf, hasUniqueSku } from './schema.ts'
import { readSchema, type Schema, TABLES, type Table } from './schema-found.ts'
import type { Sql } from './server-pool.ts'
import type { Log } from './service.ts'

/** Maximum number of rows, skus or keys that an error message lists. */
const NAMED_MAX = 20
const DUPLICATE_KEY = 1062

/** Throws MigrationRefused with every problem that `repairTables` cannot fix. Changes nothing. */
export async function refuseUnrepairable(sql: Sql): Promise<void> {
  const schema = await readSchema(sql)
  const known = faultsOf(schema).filter(({ repair }) => repair === undefined)
  refuse([...known.map(sentence), ...(await problemsOfRows(sql, schema, known))])
}

/** Throws MigrationRefused when a table is missing or differs from the required schema. */
export async function refuseRemainingFaults(sql: Sql): Promise<void> {
  const schema = await readSchema(sql)
  const missing = TABLES.filter((table) => !schema.tables.has(table)).map(
    (table) => `${table}: the table is missing although its migration is recorded: restore it from a backup`,
  )
  refuse([...missing, ...faultsOf(schema).map(sentence)])
}

function refuse(found: readonly string[]): void {
  if (found.length === 0) return
  throw new MigrationRefused(
    `the tables cannot be used as they are: ${found.join('; ')}; correct this, then run npm run migrate again`,
  )
}

const sentence = ({ table, problem }: Fault) => `${table}: ${problem}`

/** Changes each table to the required schema with one ALTER TABLE, and logs each problem that it fixed. */
export async function repairTables(runner: QueryRunner, sql: Sql, log: Log): Promise<void> {
  if (faultsOf(await readSchema(sql)).some(({ repair }) => repair === 'convert prices'))
    await new AdoptPythonInventory1764000000002().up(runner)
  for (const table of TABLES) {
    const faults = faultsOf(await readSchema(sql)).filter((fault) => fault.table === table)
    const clauses = new Set(faults.flatMap(({ repair }) => (Array.isArray(repair) ? repair : [])))
    if (clauses.size === 0) continue
    try {
      await sql(`ALTER TABLE ${table} ${[...clauses].join(', ')}`)
    } catch (error) {
      // A Python process stored a duplicate after the check.
      if (errnoOf(error) === DUPLICATE_KEY) await refuseUnrepairable(sql)
      throw error
    }
    for (const { problem } of faults) log.warn({ table }, `fixed the table ${table}: ${problem}`)
  }
}

/** Finds problems that the definitions of columns and keys do not show: rows, foreign keys and partitions. */
async function problemsOfRows(sql: Sql, { tables, collation }: Schema, known: readonly Fault[]): Promise<string[]> {
  const table = tables.get('inventory')
  if (table === undefined || table.kind !== 'BASE TABLE') return []
  const problems = [...(await keysOfText(sql, collation)), ...(await partitions(sql, table))]
  const { id, sku, price } = Object.fromEntries(table.columns)
  const isKnown = (column: string) => known.some((fault) => fault.problem.startsWith(`the column ${column} `))
  if (id && !isKnown('id')) problems.push(...(await idsOutOfRange(sql)), ...(await referencesToId(sql, table.columns)))
  if (id && price && price.data !== 'decimal' && !isKnown('price'))
    problems.push(...(await pricesOutOfRange(sql)), ...(await checksOfPrice(sql)), ...keysOfPrice(table))
  if (sku && !isKnown('sku') && !hasUniqueSku(table)) problems.push(...(await duplicateSkus(sql, collation)))
  return problems.map((each) => `inventory: ${each}`)
}

const ids = z.array(z.object({ id: z.coerce.string() }))

async function idsOutOfRange(sql: Sql): Promise<string[]> {
  const outside = `id < 1 OR id > ${Number.MAX_SAFE_INTEGER}`
  const found = ids.parse(await sql(`SELECT id FROM inventory WHERE ${outside} ORDER BY id LIMIT ${NAMED_MAX + 1}`))
  return listed(
    'ids must be from 1 to 9007199254740991; give these rows other ids',
    found.map(({ id }) => id),
  )
}

const references = z.array(z.object({ table: z.string() }))

async function referencesToId(sql: Sql, columns: ReadonlyMap<string, { data: string }>): Promise<string[]> {
  if (/^(int|bigint)$/.test(columns.get('id')?.data ?? '')) return []
  const found = references.parse(
    await sql(
      `SELECT DISTINCT CONCAT(table_schema, '.', table_name) AS \`table\` FROM information_schema.key_column_usage
       WHERE referenced_table_schema = DATABASE() AND referenced_table_name = 'inventory' AND referenced_column_name = 'id'`,
    ),
  )
  return listed(
    'foreign keys refer to the column id, whose type changes; drop them and create them again after the migration',
    found.map(({ table }) => table),
  )
}

/** Finds foreign keys on columns whose collation must change. Neither MySQL nor MariaDB can change it on either side of a key. */
async function keysOfText(sql: Sql, collation: string): Promise<string[]> {
  const joined = (column: string, mine: 'referenced_' | '') =>
    `SELECT CONCAT(k.table_schema, '.', k.table_name, '.', k.column_name) AS \`table\`
     FROM information_schema.key_column_usage AS k JOIN information_schema.columns AS c
       ON c.table_schema = DATABASE() AND c.table_name = 'inventory' AND c.column_name = k.${column}
     WHERE k.${mine}table_schema = DATABASE() AND k.${mine}table_name = 'inventory'
       AND k.referenced_table_name IS NOT NULL AND c.collation_name <> ?`
  const found = references.parse(
    await sql(`${joined('referenced_column_name', 'referenced_')} UNION ${joined('column_name', '')} ORDER BY 1`, [
      collation,
      collation,
    ]),
  )
  return listed(
    'foreign keys join columns whose collation changes; drop them, and create them again after the migration with the same collation on both sides',
    found.map(({ table }) => table),
  )
}

/** Finds partitions if the unique key on sku must be added. In a partitioned table, it would have to contain the partitioning columns. */
async function partitions(sql: Sql, table: Table): Promise<string[]> {
  if (hasUniqueSku(table)) return []
  const found = z.array(z.unknown()).parse(
    await sql(
      `SELECT 1 FROM information_schema.partitions
         WHERE table_schema = DATABASE() AND table_name = 'inventory' AND partition_name IS NOT NULL LIMIT 1`,
    ),
  )
  return found.length === 0
    ? []
    : ['it is partitioned, so it cannot have a unique key on (sku): ALTER TABLE inventory REMOVE PARTITIONING']
}

const prices = z.array(z.object({ id: z.coerce.string(), sku: z.string().nullable(), price: z.string() }))

async function pricesOutOfRange(sql: Sql): Promise<string[]> {
  const found = prices.parse(
    await sql(
      `SELECT id, sku, CONCAT(price) AS price FROM inventory
       WHERE ABS(CONCAT(price) + 0e0) >= 99999999999.99995 ORDER BY id LIMIT ${NAMED_MAX + 1}`,
    ),
  )
  return listed(
    'prices do not fit into DECIMAL(15,4); correct or delete these rows',
    found.map(({ id, sku, price }) => `id ${id} (sku ${JSON.stringify(sku)}): ${price}`),
  )
}

/** MariaDB names the table of a constraint here. On MySQL the name of the constraint is unique in its database. */
const checks = z.array(z.object({ name: z.string(), clause: z.string() }))

/** Finds CHECK constraints on the price: the server drops them with the column that the conversion replaces, or refuses to drop it. */
async function checksOfPrice(sql: Sql): Promise<string[]> {
  const rows = z.array(z.record(z.string(), z.unknown())).parse(
    await sql(
      `SELECT c.* FROM information_schema.check_constraints AS c JOIN information_schema.table_constraints AS t
         ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name
       WHERE t.table_schema = DATABASE() AND t.table_name = 'inventory' AND t.constraint_type = 'CHECK'`,
    ),
  )
  const ofTable = rows
    .map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value])))
    .filter(({ table_name }) => table_name === undefined || table_name === 'inventory')
    .map(({ constraint_name, check_clause }) => ({ name: constraint_name, clause: check_clause }))
  const found = checks.parse(ofTable).filter(({ clause }) => /`price`/i.test(clause))
  return listed(
    'CHECK constraints refer to the column price, whose type changes; drop them and create them again after the migration',
    [...new Set(found.map(({ name }) => name))],
  )
}

/** Finds keys that contain the price. The server removes the column that the conversion replaces from them. */
function keysOfPrice({ keys }: Table): string[] {
  const found = [...keys.values()].filter(({ columns }) => columns.some(({ name }) => name === 'price'))
  return listed(
    'keys contain the column price, whose type changes; drop them and create them again after the migration',
    found.map(({ name }) => name),
  )
}

const duplicates = z.array(z.object({ sku: z.string(), times: z.coerce.number() }))
const counted = z.tuple([z.object({ n: z.coerce.number() })])

/** Finds duplicates byte for byte, as the unique key will, even if the column compares differently now. */
async function duplicateSkus(sql: Sql, collation: string): Promise<string[]> {
  const twice = `SELECT CONVERT(sku USING utf8mb4) COLLATE ${collation} AS exact_sku, COUNT(*) AS times FROM inventory
    WHERE sku IS NOT NULL GROUP BY exact_sku HAVING times > 1`
  const found = duplicates.parse(
    await sql(`SELECT exact_sku AS sku, times FROM (${twice}) AS twice ORDER BY exact_sku LIMIT ${NAMED_MAX}`),
  )
  if (found.length === 0) return []
  const [{ n }] = counted.parse(await sql(`SELECT COUNT(*) AS n FROM (${twice}) AS twice`))
  const named = found.map(({ sku, times }) => `${JSON.stringify(sku)} (${times} rows)`).join(', ')
  return [
    `${n} skus are stored more than once; keep one row of each: ${named}${n > found.length ? `, and ${n - found.length} more` : ''}`,
  ]
}

function listed(what: string, found: readonly string[]): string[] {
  if (found.length === 0) return []
  return [`${what}: ${found.slice(0, NAMED_MAX).join(', ')}${found.length > NAMED_MAX ? ', and more' : ''}`]
}

/** Counts the prices that the conversion to DECIMAL rounds, because they are displayed with more than four decimals. */
export async function countPricesToRound(sql: Sql): Promise<number> {
  const price = (await readSchema(sql)).tables.get('inventory')?.columns.get('price')
  if (price === undefined || !/^(float|double)$/.test(price.data)) return 0
  const rounded = await sql(
    'SELECT COUNT(*) AS n FROM inventory WHERE CONCAT(price) + 0e0 <> CAST(CONCAT(price) AS DECIMAL(15,4)) + 0e0',
  )
  return counted.parse(rounded)[0].n
}

/** White space as String.prototype.trim defines it, written so that MySQL and MariaDB both accept it. */
const WHITE = '[\\t-\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]'
const UNUSUAL = `^${WHITE}|${WHITE}$|\\p{Cc}`

/** Counts rows whose sku `create_item` refuses: white space at either end, control characters, too long, empty or NULL. */
export async function countUnusualSkus(sql: Sql): Promise<number> {
  const found = await sql(
    "SELECT COUNT(*) AS n FROM inventory WHERE sku IS NULL OR sku = '' OR CHAR_LENGTH(sku) > 20 OR sku REGEXP ?",
    [UNUSUAL],
  )
  return counted.parse(found)[0].n
}
