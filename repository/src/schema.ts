// The schema that the services need, in one place: what it must be, what a database has, and how the two differ.
import { z } from 'zod'
import { EXACT } from './migrations/collation.ts'
import type { Sql } from './server-pool.ts'

/** One difference from what the services need, and how `migrate` mends it. */
export interface Fault {
  readonly table: TableName
  readonly says: string
  /**
   * Clauses of an ALTER TABLE; `convert prices`: what AdoptPythonInventory does; `migration`: one that is still to run adds
   * it; undefined: an operator must decide.
   */
  readonly mend: readonly string[] | 'convert prices' | 'migration' | undefined
}

export type TableName = 'inventory' | 'inbox'
type Verdict = { readonly says: string; readonly mend?: string | 'convert prices' } | undefined
/** Judges a column, and says how it must be. `collation` is the server's byte-wise one. */
interface Wanted {
  readonly as: string
  readonly judge: (found: Column, collation: string) => Verdict
  /** A migration adds it to a table that an earlier one made. */
  readonly isAdded?: boolean
}
interface WantedTable {
  readonly columns: Readonly<Record<string, Wanted>>
  readonly primary: readonly string[]
  readonly keys: Readonly<Record<string, { readonly columns: readonly string[]; readonly unique: boolean }>>
}

/**
 * A column that is wider than this is accepted: the services never store more than fits here, narrowing could lose what
 * others stored, and the next version may have widened it while this one still runs.
 */
const WANTED: Readonly<Record<TableName, WantedTable>> = {
  inventory: {
    columns: {
      id: identity(),
      sku: exactText(20, { isKey: true }),
      name: exactText(100),
      label: exactText(50),
      price: decimal(15, 4),
      quantity: integer(),
    },
    primary: ['id'],
    // Statements say FORCE INDEX (sku), so the name matters.
    keys: { sku: { columns: ['sku'], unique: true } },
  },
  inbox: {
    columns: {
      queue: text(64),
      message_id: bytes(1020),
      fingerprint: text(64),
      outcome: text(32),
      error: { ...text(1000), isAdded: true },
      applied_at: timeOfInsert(3),
    },
    primary: ['queue', 'message_id'],
    keys: { applied_at: { columns: ['applied_at'], unique: false } },
  },
}

/** Engines that cannot roll back, and that InnoDB replaces without loss. */
const REPLACED_ENGINES = ['myisam', 'aria']
const MYSQL_PRECISION_MAX = 65

const nullableText = z.string().nullable()
const count = z.coerce.number()
const columnRow = z.object({
  table: z.enum(['inventory', 'inbox']),
  name: z.string(),
  type: z.string(),
  data: z.string(),
  length: count.nullable(),
  digits: count.nullable(),
  decimals: count.nullable(),
  fraction: count.nullable(),
  nullable: z.enum(['YES', 'NO']).transform((value) => value === 'YES'),
  initial: nullableText,
  extra: z.string(),
  collation: nullableText,
  computed: nullableText.transform((expression) => expression !== null && expression !== ''),
})
type Column = z.output<typeof columnRow>

const tableRow = z.object({
  name: z.enum(['inventory', 'inbox']),
  kind: z.string(),
  engine: nullableText,
  nextId: count.nullable(),
})
/** The columns `is_visible` (MySQL) and `ignored` (MariaDB) tell whether statements may use the key. */
const keyRow = z
  .record(z.string(), z.unknown())
  .transform((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value])))
  .pipe(
    z.object({
      table_name: z.enum(['inventory', 'inbox']),
      index_name: z.string(),
      non_unique: count,
      column_name: nullableText,
      sub_part: count.nullable(),
      is_visible: z.string().default('YES'),
      ignored: z.string().default('NO'),
    }),
  )

interface Key {
  readonly name: string
  readonly isUnique: boolean
  readonly isUsable: boolean
  /** Undefined for an expression. */
  readonly columns: { readonly name: string | undefined; readonly isWhole: boolean }[]
}

export interface Table {
  /** `BASE TABLE`, `VIEW` and the like. */
  readonly kind: string
  readonly engine: string
  /** The next AUTO_INCREMENT value; undefined when there is none. */
  readonly nextId: number | undefined
  readonly columns: ReadonlyMap<string, Column>
  readonly keys: ReadonlyMap<string, Key>
}

export interface Schema {
  readonly tables: ReadonlyMap<TableName, Table>
  readonly collation: string
}

/** Table names may be compared without case there, although `Inventory` can be another table. */
const NAMED = `table_schema = DATABASE() AND table_name IN ('inventory', 'inbox')
  AND CAST(table_name AS BINARY) IN ('inventory', 'inbox')`

/** Reads information_schema only, which shows an account the tables it has a right on. */
export async function readSchema(sql: Sql): Promise<Schema> {
  // MySQL keeps the next id in a cache for a day unless told not to; MariaDB takes the second part for a comment.
  await sql("SET SESSION time_zone = '+00:00' /*!80000 , SESSION information_schema_stats_expiry = 0 */")
  const tables = z.array(tableRow).parse(
    await sql(
      `SELECT table_name AS name, table_type AS kind, engine AS engine, auto_increment AS nextId
       FROM information_schema.tables WHERE ${NAMED} ORDER BY table_name DESC`,
    ),
  )
  const columns = z.array(columnRow).parse(
    await sql(
      `SELECT table_name AS \`table\`, LOWER(column_name) AS name, column_type AS type, data_type AS data,
         character_maximum_length AS length, numeric_precision AS digits, numeric_scale AS decimals,
         datetime_precision AS fraction, is_nullable AS nullable, column_default AS initial, extra AS extra,
         collation_name AS collation, generation_expression AS computed
       FROM information_schema.columns WHERE ${NAMED} ORDER BY ordinal_position`,
    ),
  )
  const parts = z
    .array(keyRow)
    .parse(await sql(`SELECT * FROM information_schema.statistics WHERE ${NAMED} ORDER BY index_name, seq_in_index`))
  const [first] = z
    .array(z.object({ name: z.string() }))
    .parse(
      await sql('SELECT collation_name AS name FROM information_schema.collations WHERE collation_name IN (?)', [
        EXACT,
      ]),
    )
  if (!first)
    throw new Error(`this server knows neither ${EXACT.join(' nor ')}: MySQL 8.4+ or MariaDB 10.11+ is needed`)
  return {
    collation: first.name,
    tables: new Map(
      tables.map(({ name, kind, engine, nextId }) => [
        name,
        {
          kind,
          engine: engine ?? 'none',
          nextId: nextId ?? undefined,
          columns: new Map(columns.filter(({ table }) => table === name).map((column) => [column.name, column])),
          keys: keysOf(parts.filter(({ table_name }) => table_name === name)),
        },
      ]),
    ),
  }
}

function keysOf(parts: readonly z.output<typeof keyRow>[]): Map<string, Key> {
  const keys = new Map<string, Key>()
  for (const { index_name: name, non_unique, column_name, sub_part, is_visible, ignored } of parts) {
    const key = keys.get(name.toLowerCase()) ?? {
      name,
      isUnique: non_unique === 0,
      isUsable: is_visible === 'YES' && ignored === 'NO',
      columns: [],
    }
    key.columns.push({ name: column_name?.toLowerCase(), isWhole: sub_part === null })
    keys.set(name.toLowerCase(), key)
  }
  return keys
}

/** Every difference between the tables that are there and what the services need. */
export function faultsOf({ tables, collation }: Schema): Fault[] {
  return [...tables].flatMap(([table, found]) =>
    [...faultsOfTable(found, WANTED[table], collation)].map(({ says, mend }) => ({ table, says, mend })),
  )
}

/** Whether the key of skus is as it must be, so that no two items can have the same one. */
export const hasUniqueSku = (table: Table): boolean => [...table.keys.values()].some((key) => isOn(key, ['sku'], true))

type Found = Omit<Fault, 'table'>

function* faultsOfTable(found: Table, wanted: WantedTable, collation: string): Generator<Found> {
  if (found.kind !== 'BASE TABLE') {
    yield { says: `it is a ${found.kind.toLowerCase()}, and must be a table`, mend: undefined }
    return
  }
  const engine = found.engine.toLowerCase()
  if (engine !== 'innodb')
    yield {
      says: `its engine is ${found.engine}, which must be InnoDB`,
      mend: REPLACED_ENGINES.includes(engine) ? ['ENGINE = InnoDB ROW_FORMAT = DYNAMIC'] : undefined,
    }
  yield* faultsOfColumns(found, wanted, collation)
  yield* faultsOfKeys(found, wanted)
}

function* faultsOfColumns(found: Table, { columns }: WantedTable, collation: string): Generator<Found> {
  for (const [name, { as, judge, isAdded }] of Object.entries(columns)) {
    const column = found.columns.get(name)
    if (column === undefined)
      yield { says: `the column ${name} is missing (${as})`, mend: isAdded ? 'migration' : undefined }
    else if (column.computed) yield { says: `the column ${name} is generated, and must be ${as}`, mend: undefined }
    else {
      const verdict = judge(column, collation)
      if (verdict === undefined) continue
      const { says, mend } = verdict
      const clause = mend === undefined || mend === 'convert prices' ? mend : [`MODIFY COLUMN ${name} ${mend}`]
      yield { says: `the column ${name} is ${says}, and must be ${as}`, mend: clause }
    }
  }
  for (const { name, nullable, initial, extra, computed, type } of found.columns.values())
    if (!(name in columns) && !nullable && initial === null && !computed && !/auto_increment/i.test(extra))
      yield {
        says: `the column ${name} (${type}) is NOT NULL without a default, so that no item can be stored: give it a default`,
        mend: undefined,
      }
}

function* faultsOfKeys({ keys, columns: present }: Table, { primary, keys: wanted }: WantedTable): Generator<Found> {
  const first = keys.get('primary')
  if (first === undefined || !isOn(first, primary, true))
    yield {
      says: `its primary key is ${first ? described(first) : 'missing'}, and must be (${primary.join(', ')})`,
      mend: undefined,
    }
  const dropped = new Set<Key>()
  for (const [name, { columns, unique }] of Object.entries(wanted)) {
    const named = keys.get(name)
    if (named && isOn(named, columns, unique)) continue
    if (columns.some((column) => !present.has(column))) continue
    const other = [...keys.values()].find((key) => key !== first && isOn(key, columns, unique))
    const drop = named ? [`DROP INDEX ${name}`] : []
    if (named) dropped.add(named)
    const kind = unique ? 'unique key' : 'key'
    const list = columns.join(', ')
    yield other
      ? {
          says: `the ${kind} on (${list}) is called ${other.name}, and must be called ${name}`,
          mend: [...drop, `RENAME INDEX ${quoted(other.name)} TO ${name}`],
        }
      : {
          says: `the ${kind} ${name} on exactly (${list}) is ${named ? `${described(named)} instead` : 'missing'}`,
          mend: [...drop, `ADD ${unique ? 'UNIQUE KEY' : 'KEY'} ${name} (${list})`],
        }
  }
  const unique = [primary, ...Object.values(wanted).flatMap((key) => (key.unique ? [key.columns] : []))]
  for (const key of keys.values()) {
    if (!key.isUnique || dropped.has(key)) continue
    // A key that holds all of another unique one refuses nothing that the other would not.
    const whole = key.columns.flatMap(({ name, isWhole }) => (isWhole && name !== undefined ? [name] : []))
    if (unique.some((columns) => columns.every((column) => whole.includes(column)))) continue
    const isPartOfOurs = unique.some(
      ([only, ...rest]) => rest.length === 0 && key.columns.every(({ name }) => name === only),
    )
    if (key !== first)
      yield {
        says: `the unique key ${key.name} is ${described(key)}, and refuses items that the services accept${isPartOfOurs ? '' : ': drop it'}`,
        mend: isPartOfOurs ? [`DROP INDEX ${quoted(key.name)}`] : undefined,
      }
  }
}

function isOn(key: Key, columns: readonly string[], unique: boolean): boolean {
  return (
    key.isUsable &&
    (key.isUnique || !unique) &&
    key.columns.length === columns.length &&
    key.columns.every(({ name, isWhole }, n) => isWhole && name === columns[n])
  )
}

function described({ columns, isUnique, isUsable }: Key): string {
  const parts = columns.map(({ name, isWhole }) => `${isWhole ? '' : 'the beginning of '}${name ?? 'an expression'}`)
  return `${isUsable ? '' : 'invisible '}${isUnique ? '' : 'not unique '}on (${parts.join(', ')})`
}

const quoted = (name: string) => `\`${name.replaceAll('`', '``')}\``
const nullness = ({ nullable }: Column) => (nullable ? 'NULL' : 'NOT NULL')

/** An operator may have made it BIGINT or UNSIGNED; a narrower one becomes what Python makes. */
function identity(): Wanted {
  const as = 'INT or BIGINT, AUTO_INCREMENT'
  return {
    as,
    judge: ({ data, type, extra }) => {
      if (!/int$/.test(data)) return { says: type }
      if (/^(int|bigint)$/.test(data) && /auto_increment/i.test(extra)) return undefined
      const becomes = data === 'bigint' || /unsigned/.test(type) ? 'BIGINT UNSIGNED' : 'INT'
      return { says: `${type} ${extra}`.trim(), mend: `${becomes} NOT NULL AUTO_INCREMENT` }
    },
  }
}

function exactText(length: number, { isKey = false } = {}): Wanted {
  return {
    as: `VARCHAR(${length}) that compares byte for byte`,
    judge: (found, collation) => {
      const { data, type } = found
      const isLong = /^(text|mediumtext|longtext)$/.test(data) && !isKey
      if (!isLong && !/^(char|varchar|tinytext)$/.test(data)) return { says: type }
      const isWide = isLong || (data === 'varchar' && (found.length ?? 0) >= length)
      if (isWide && found.collation === collation) return undefined
      const becomes = isLong ? type : `VARCHAR(${Math.max(length, found.length ?? 0)})`
      return {
        says: `${type} with collation ${found.collation}`,
        mend: `${becomes} CHARACTER SET utf8mb4 COLLATE ${collation} ${nullness(found)}`,
      }
    },
  }
}

function text(length: number): Wanted {
  return {
    as: `VARCHAR(${length})`,
    judge: (found) => {
      if (!/^(char|varchar)$/.test(found.data)) return { says: found.type }
      if ((found.length ?? 0) >= length) return undefined
      return { says: found.type, mend: `VARCHAR(${length}) COLLATE ${found.collation} ${nullness(found)}` }
    },
  }
}

function bytes(length: number): Wanted {
  return {
    as: `VARBINARY(${length})`,
    judge: (found) => {
      if (found.data !== 'varbinary') return { says: found.type }
      if ((found.length ?? 0) >= length) return undefined
      return { says: found.type, mend: `VARBINARY(${length}) ${nullness(found)}` }
    },
  }
}

function decimal(precision: number, scale: number): Wanted {
  return {
    as: `DECIMAL(${precision},${scale})`,
    judge: (found) => {
      const { data, type, digits, decimals } = found
      if (/int$|^(float|double)$/.test(data)) return { says: type, mend: 'convert prices' }
      if (data !== 'decimal' || digits === null || decimals === null) return { says: type }
      const before = Math.max(digits - decimals, precision - scale)
      const after = Math.max(decimals, scale)
      if (digits === before + after && decimals === after && !/unsigned/.test(type)) return undefined
      if (before + after > MYSQL_PRECISION_MAX) return { says: type }
      return { says: type, mend: `DECIMAL(${before + after},${after}) ${nullness(found)}` }
    },
  }
}

function integer(): Wanted {
  return {
    as: 'INT',
    judge: (found) => {
      const { data, type } = found
      if (!/int$/.test(data)) return { says: type }
      const isUnsigned = /unsigned/.test(type)
      if (/^(int|bigint)$/.test(data) && !isUnsigned) return undefined
      if (data === 'bigint') return { says: type }
      return { says: type, mend: `${data === 'int' ? 'BIGINT' : 'INT'} ${nullness(found)}` }
    },
  }
}

function timeOfInsert(fraction: number): Wanted {
  const as = `DATETIME(${fraction}) DEFAULT CURRENT_TIMESTAMP(${fraction})`
  return {
    as,
    judge: (found) => {
      if (found.data !== 'datetime') return { says: found.type }
      const isSet = /current_timestamp/i.test(found.initial ?? '')
      if ((found.fraction ?? 0) >= fraction && isSet) return undefined
      const says = `${found.type}${isSet ? '' : ' without that default'}`
      return { says, mend: `DATETIME(${fraction}) ${nullness(found)} DEFAULT CURRENT_TIMESTAMP(${fraction})` }
    },
  }
}
