// The schema that the services need, and how the existing tables differ from it.
import { bytes, decimal, exactText, identity, integer, text, timeOfInsert, type Wanted } from './schema-columns.ts'
import type { Key, Schema, Table, TableName } from './schema-found.ts'

/** A difference from the required schema, and how `migrate` fixes it. */
export interface Fault {
  readonly table: TableName
  readonly problem: string
  /**
   * Clauses of an ALTER TABLE; `convert prices`: run AdoptPythonInventory again; `migration`: a pending migration adds
   * the column; undefined: an operator must decide.
   */
  readonly repair: readonly string[] | 'convert prices' | 'migration' | undefined
}

interface WantedTable {
  readonly columns: Readonly<Record<string, Wanted>>
  readonly primary: readonly string[]
  readonly keys: Readonly<Record<string, { readonly columns: readonly string[]; readonly unique: boolean }>>
}

/**
 * The required schema. A wider column is accepted: the services never store more than fits here, narrowing could lose
 * data, and the next version may have widened it while this one still runs.
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
    // Statements use FORCE INDEX (sku), so the name matters.
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
  movement: {
    columns: {
      id: identity(),
      message_id: bytes(1020),
      item_id: integer(),
      sku: exactText(20, { isKey: true }),
      delta: integer(),
      quantity_before: integer(),
      quantity_after: integer(),
      reason: exactText(100),
      requested_by: exactText(128),
      request_id: exactText(128),
      moved_at: timeOfInsert(3),
    },
    primary: ['id'],
    keys: {
      message_id: { columns: ['message_id'], unique: true },
      sku_id: { columns: ['sku', 'id'], unique: false },
    },
  },
}

/** Engines without rollback, which InnoDB can replace without loss. */
const REPLACED_ENGINES = ['myisam', 'aria']

/** Every difference between the existing tables and the required schema. Missing tables are not reported. */
export function faultsOf({ tables, collation }: Schema): Fault[] {
  return [...tables].flatMap(([table, found]) =>
    [...faultsOfTable(found, WANTED[table], collation)].map(({ problem, repair }) => ({ table, problem, repair })),
  )
}

/** Whether a unique key on the whole column `sku` exists, so that no two items can have the same sku. */
export const hasUniqueSku = (table: Table): boolean => [...table.keys.values()].some((key) => isOn(key, ['sku'], true))

type Found = Omit<Fault, 'table'>

function* faultsOfTable(found: Table, wanted: WantedTable, collation: string): Generator<Found> {
  if (found.kind !== 'BASE TABLE') {
    yield { problem: `it is a ${found.kind.toLowerCase()}, and must be a table`, repair: undefined }
    return
  }
  const engine = found.engine.toLowerCase()
  if (engine !== 'innodb')
    yield {
      problem: `its engine is ${found.engine}, which must be InnoDB`,
      repair: REPLACED_ENGINES.includes(engine) ? ['ENGINE = InnoDB ROW_FORMAT = DYNAMIC'] : undefined,
    }
  yield* faultsOfColumns(found, wanted, collation)
  yield* faultsOfKeys(found, wanted)
}

function* faultsOfColumns(found: Table, { columns }: WantedTable, collation: string): Generator<Found> {
  for (const [name, { as, judge, isAdded }] of Object.entries(columns)) {
    const column = found.columns.get(name)
    if (column === undefined)
      yield { problem: `the column ${name} is missing (${as})`, repair: isAdded ? 'migration' : undefined }
    else if (column.computed) yield { problem: `the column ${name} is generated, and must be ${as}`, repair: undefined }
    else {
      const verdict = judge(column, collation)
      if (verdict === undefined) continue
      const { actual, repair } = verdict
      const clause = repair === undefined || repair === 'convert prices' ? repair : [`MODIFY COLUMN ${name} ${repair}`]
      yield { problem: `the column ${name} is ${actual}, and must be ${as}`, repair: clause }
    }
  }
  for (const { name, nullable, initial, extra, computed, type } of found.columns.values())
    if (!(name in columns) && !nullable && initial === null && !computed && !/auto_increment/i.test(extra))
      yield {
        problem: `the column ${name} (${type}) is NOT NULL without a default, so no item can be stored: give it a default`,
        repair: undefined,
      }
}

function* faultsOfKeys({ keys, columns: present }: Table, { primary, keys: wanted }: WantedTable): Generator<Found> {
  const first = keys.get('primary')
  if (first === undefined || !isOn(first, primary, true))
    yield {
      problem: `its primary key is ${first ? described(first) : 'missing'}, and must be (${primary.join(', ')})`,
      repair: undefined,
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
          problem: `the ${kind} on (${list}) is called ${other.name}, and must be called ${name}`,
          repair: [...drop, `RENAME INDEX ${quoted(other.name)} TO ${name}`],
        }
      : {
          problem: `the ${kind} ${name} on exactly (${list}) is ${named ? `${described(named)} instead` : 'missing'}`,
          repair: [...drop, `ADD ${unique ? 'UNIQUE KEY' : 'KEY'} ${name} (${list})`],
        }
  }
  const unique = [primary, ...Object.values(wanted).flatMap((key) => (key.unique ? [key.columns] : []))]
  for (const key of keys.values()) {
    if (!key.isUnique || dropped.has(key)) continue
    // A unique key that contains all columns of one of ours refuses no additional rows.
    const whole = key.columns.flatMap(({ name, isWhole }) => (isWhole && name !== undefined ? [name] : []))
    if (unique.some((columns) => columns.every((column) => whole.includes(column)))) continue
    const isPartOfOurs = unique.some(
      ([only, ...rest]) => rest.length === 0 && key.columns.every(({ name }) => name === only),
    )
    if (key !== first)
      yield {
        problem: `the unique key ${key.name} is ${described(key)}, and refuses items that the services accept${isPartOfOurs ? '' : ': drop it'}`,
        repair: isPartOfOurs ? [`DROP INDEX ${quoted(key.name)}`] : undefined,
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
