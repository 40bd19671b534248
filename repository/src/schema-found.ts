// The existing tables of the suite, read from information_schema.
import { z } from 'zod'
import { exactCollation } from './migrations/collation.ts'
import type { Sql } from './server-pool.ts'

export const TABLES = ['inventory', 'inbox', 'movement'] as const
export type TableName = (typeof TABLES)[number]

const nullableText = z.string().nullable()
const count = z.coerce.number()
const columnRow = z.object({
  table: z.enum(TABLES),
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
export type Column = z.output<typeof columnRow>

const tableRow = z.object({
  name: z.enum(TABLES),
  kind: z.string(),
  engine: nullableText,
  nextId: count.nullable(),
})
/** The columns `is_visible` (MySQL) and `ignored` (MariaDB) say whether statements may use the key. */
const keyRow = z
  .record(z.string(), z.unknown())
  .transform((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value])))
  .pipe(
    z.object({
      table_name: z.enum(TABLES),
      index_name: z.string(),
      non_unique: count,
      column_name: nullableText,
      sub_part: count.nullable(),
      is_visible: z.string().default('YES'),
      ignored: z.string().default('NO'),
    }),
  )

export interface Key {
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
  /** The next AUTO_INCREMENT value. Undefined when the table has none. */
  readonly nextId: number | undefined
  readonly columns: ReadonlyMap<string, Column>
  readonly keys: ReadonlyMap<string, Key>
}

export interface Schema {
  readonly tables: ReadonlyMap<TableName, Table>
  readonly collation: string
}

/** The CAST is needed because information_schema may ignore case, while `Inventory` can be another table. */
const NAMES = TABLES.map((table) => `'${table}'`).join(', ')
const NAMED = `table_schema = DATABASE() AND table_name IN (${NAMES}) AND CAST(table_name AS BINARY) IN (${NAMES})`

/**
 * Reads only information_schema, which shows the tables that the account has a privilege on. Needs a session that
 * `setUpSession` has set up; otherwise MySQL's `auto_increment` is out of date.
 */
export async function readSchema(sql: Sql): Promise<Schema> {
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
  return {
    collation: await exactCollation(sql),
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
