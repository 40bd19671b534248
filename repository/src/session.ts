// Sets up a connection before it is used: sets every session variable that correctness depends on, and reads it back.
import { z } from 'zod'
import { DatabaseError } from './errors.ts'
import type { Sql } from './server-pool.ts'

/** Strict mode: no value is truncated silently, and a backslash escapes as the driver expects. */
const STRICT = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
const NO_LIMIT = '18446744073709551615'

/** After this many idle seconds the server closes a connection and rolls back its transaction. */
export const IDLE_TIMEOUT_S = 10

interface SessionTimes {
  /** Seconds to wait for a row or table that another transaction locks. */
  readonly lockTimeoutS: number
  /** Timeout of one statement, in milliseconds. Undefined means none. */
  readonly statementTimeoutMs: number | undefined
}

interface Wanted {
  readonly value: string | number
  /** The value that the server reports, if it differs from `value`. */
  readonly reported?: string
}

/** Variables by name. MySQL and MariaDB differ, so a variable that the server does not have is skipped. */
function wantedVariables({ lockTimeoutS, statementTimeoutMs = 0 }: SessionTimes): Record<string, Wanted> {
  const on = { value: 1, reported: 'ON' }
  const off = { value: 0, reported: 'OFF' }
  const utf8 = { value: 'utf8mb4' }
  // No gap locks, so that consumers that insert and delete at the same time seldom block each other.
  const isolation = { value: 'READ-COMMITTED' }
  return {
    // Text. init_connect and skip-character-set-client-handshake override what the handshake sets.
    character_set_client: utf8,
    character_set_connection: utf8,
    character_set_results: utf8,
    lc_messages: { value: 'en_US' },
    sql_quote_show_create: on,
    // Which rows a statement sees or changes.
    sql_select_limit: { value: NO_LIMIT },
    sql_safe_updates: off,
    sql_big_selects: on,
    sql_auto_is_null: off,
    // MySQL caches the next id of a table for a day by default.
    information_schema_stats_expiry: { value: 0 },
    in_predicate_conversion_threshold: { value: 0 },
    // How values are converted.
    sql_mode: { value: STRICT },
    time_zone: { value: '+00:00' },
    unique_checks: on,
    foreign_key_checks: on,
    check_constraint_checks: on,
    // Where a transaction starts and ends, and which data it sees.
    autocommit: on,
    completion_type: { value: 'NO_CHAIN' },
    tx_isolation: isolation,
    transaction_isolation: isolation,
    tx_read_only: off,
    transaction_read_only: off,
    // In a Galera cluster, a statement waits until its node has applied all earlier commits of the other nodes.
    wsrep_sync_wait: { value: 7 },
    // Timeouts: a process that hangs must not keep its locks.
    wait_timeout: { value: IDLE_TIMEOUT_S },
    innodb_lock_wait_timeout: { value: lockTimeoutS },
    lock_wait_timeout: { value: lockTimeoutS },
    // MySQL aborts a SELECT after its timeout. MariaDB's counterpart covers every statement, including COMMIT. With it
    // set, Galera nodes differed after one of them was killed; without it they did not. The cause was not proved.
    max_execution_time: { value: statementTimeoutMs },
    max_statement_time: { value: 0, reported: '0.000000' },
  }
}

const MODES = ['read_only', 'super_read_only', 'innodb_read_only', 'wsrep_on']
const rows = z.array(z.object({ Variable_name: z.string().toLowerCase(), Value: z.string() }))

/**
 * Sets the session variables of a new connection. Rejects with a transient DatabaseError that names each variable that
 * kept another value. With `mustTakeWrites`, also rejects if the server is read-only or is a Galera node that is not
 * ready.
 */
export async function setUpSession(
  sql: Sql,
  times: SessionTimes,
  { mustTakeWrites }: { mustTakeWrites: boolean },
): Promise<void> {
  // Set these two first, because they limit SHOW as well.
  await sql(`SET SESSION sql_select_limit = ${NO_LIMIT}, SESSION sql_big_selects = 1`)
  const wanted = wantedVariables(times)
  const before = await read(sql, [...Object.keys(wanted), ...MODES])
  if (mustTakeWrites) await refuseIfNotWritable(sql, before)
  const isCluster = before.get('wsrep_on') === 'ON'
  const known = Object.entries(wanted).filter(([name]) => before.has(name) && (isCluster || !name.startsWith('wsrep')))
  const isTrue = (name: string, { value, reported }: Wanted, actual: string | undefined) =>
    name === 'sql_mode' ? sameModes(actual, value) : actual === (reported ?? String(value))
  const literal = (value: string | number) =>
    typeof value === 'number' || value === NO_LIMIT ? String(value) : `'${value}'`
  await sql(`SET ${known.map(([name, { value }]) => `SESSION ${name} = ${literal(value)}`).join(', ')}`)
  const after = await read(
    sql,
    known.map(([name]) => name),
  )
  const refused = known.filter(([name, want]) => !isTrue(name, want, after.get(name)))
  if (refused.length === 0) return
  const named = refused.map(([name, { value }]) => `${name} is ${after.get(name)} instead of ${value}`)
  throw new DatabaseError(`the session could not be set up: ${named.join(', ')}`, { transient: true })
}

async function read(sql: Sql, names: readonly string[]): Promise<Map<string, string>> {
  const found = await sql('SHOW SESSION VARIABLES WHERE Variable_name IN (?)', [names])
  return new Map(rows.parse(found).map(({ Variable_name, Value }) => [Variable_name, Value]))
}

const sameModes = (actual = '', wanted: string | number): boolean =>
  actual.split(',').sort().join() === String(wanted).split(',').sort().join()

async function refuseIfNotWritable(sql: Sql, variables: ReadonlyMap<string, string>): Promise<void> {
  const readOnly = ['read_only', 'super_read_only', 'innodb_read_only'].find((name) => variables.get(name) === 'ON')
  if (readOnly !== undefined)
    throw new DatabaseError(`the server is read-only (${readOnly} is ON)`, { transient: true })
  if (variables.get('wsrep_on') !== 'ON') return
  const [ready] = rows.parse(await sql("SHOW STATUS LIKE 'wsrep_ready'"))
  if (ready !== undefined && ready.Value !== 'ON')
    throw new DatabaseError('the node is not ready (wsrep_ready is OFF)', { transient: true })
}
