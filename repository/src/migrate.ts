// Migrates the schema, from nothing or from the Python suite's tables, one process at a time.

import { RepeatedLine } from '@ims/runtime/repeated-line'
import { addressOf, type Server } from '@ims/runtime/server-list'
import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm'
import { z } from 'zod'
import {
  countPricesToRound,
  countUnusualSkus,
  refuseRemainingFaults,
  refuseUnrepairable,
  repairTables,
} from './adoption.ts'
import type { MysqlConfig } from './config.ts'
import { connectTo } from './data-source.ts'
import { asDatabaseError, asTransient, DatabaseError, errnoOf, sentenceOf } from './errors.ts'
import { MigrationRefused } from './migration-refused.ts'
import type { Sql } from './server-pool.ts'
import type { Log } from './service.ts'
import { setUpSession } from './session.ts'
import { pause } from './waiting.ts'

export { MigrationRefused }

const PAUSE_MS = 500
/** How often the log repeats that MySQL does not respond. */
const LOGGED_EVERY_MS = 30_000
/** Seconds that DDL waits for open transactions on the table, for example of a Python consumer. */
const METADATA_LOCK_S = 30
const LOCK_WAIT_TIMEOUT = 1205
/**
 * Errors that waiting cannot fix: no access to the database, wrong password, no such database, host not allowed,
 * unknown login method, password expired, account locked.
 */
const ACCESS_REFUSED: ReadonlySet<number> = new Set([1044, 1045, 1049, 1130, 1698, 1820, 1862, 3118, 4151])

const never = new AbortController().signal
const locked = z.tuple([z.object({ locked: z.union([z.number(), z.string()]).nullable().transform(Number) })])

/**
 * Runs the pending migrations, then fixes any other difference from the required schema. Holds a named lock of MySQL. Waits
 * up to `migrationTimeoutMs` for MySQL to respond, and as long again for another migration to end. Safe to run again
 * after it was killed at any point.
 * Resolves with the names of the migrations it ran. Rejects with MigrationRefused when an operator must decide about
 * the tables, normally before anything is changed; otherwise with DatabaseError.
 */
export async function migrate(config: MysqlConfig, log: Log): Promise<{ applied: string[] }> {
  // Lock and DDL share a connection. If it is lost, the lock is released, and no DDL continues without the lock.
  const { source, runner } = await connected(config, log)
  try {
    await lock(runner, config, log)
    const sql: Sql = (statement, parameters) => runner.query(statement, parameters)
    await refuseUnrepairable(sql)
    const roundedPrices = await countPricesToRound(sql)
    const executor = new MigrationExecutor(source, runner)
    // DDL commits implicitly, so a transaction around it could not be rolled back.
    executor.transaction = 'none'
    const applied = (await executor.executePendingMigrations()).map(({ name }) => name)
    await repairTables(runner, sql, log)
    await refuseRemainingFaults(sql)
    if (roundedPrices > 0)
      log.warn({ rows: roundedPrices }, `rounded ${roundedPrices} prices of the table inventory to 4 decimals`)
    await warnOfUnusualSkus(sql, log)
    log.info({ applied, database: config.database }, applied.length === 0 ? 'schema is up to date' : 'schema migrated')
    return { applied }
  } catch (error) {
    if (error instanceof MigrationRefused) throw error
    throw errnoOf(error) === LOCK_WAIT_TIMEOUT ? tableHeld(error) : asDatabaseError(error)
  } finally {
    // Closing the connection also releases the lock.
    await runner.release().catch(() => {})
    await source.destroy().catch(() => {})
  }
}

async function warnOfUnusualSkus(sql: Sql, log: Log): Promise<void> {
  const rows = await countUnusualSkus(sql)
  if (rows === 0) return
  const which = 'empty, NULL, too long, with white space at either end or with control characters'
  log.warn(
    { rows },
    `${rows} rows of the table inventory have a sku that create_item refuses (${which}); they are kept`,
  )
}

const tableHeld = (cause: unknown): DatabaseError =>
  new DatabaseError(
    `a transaction held the table inventory for more than ${METADATA_LOCK_S} s (a Python consumer_four keeps one open until its next request): end it, then run npm run migrate again`,
    { transient: true, errno: LOCK_WAIT_TIMEOUT, cause },
  )

const refused = (server: Server, { user, database }: MysqlConfig, cause: unknown): DatabaseError =>
  new DatabaseError(
    `MySQL on ${addressOf(server)} does not let user ${user} use database ${database}: ${sentenceOf(cause)}. Correct MYSQL_USER, MYSQL_PASSWORD and MYSQL_DATABASE, or the account on the server`,
    { transient: false, errno: errnoOf(cause) ?? 0, cause },
  )

async function connected(config: MysqlConfig, log: Log): Promise<{ source: DataSource; runner: QueryRunner }> {
  const deadline = performance.now() + config.migrationTimeoutMs
  const line = new RepeatedLine(LOGGED_EVERY_MS)
  let refusals = 0
  for (let attempt = 0; ; attempt += 1) {
    const server = config.servers[attempt % config.servers.length]
    if (server === undefined) throw new Error('the list of servers is empty')
    try {
      return await connectedTo(server, config)
    } catch (error) {
      const why = sentenceOf(error)
      refusals = ACCESS_REFUSED.has(errnoOf(error) ?? 0) ? refusals + 1 : 0
      if (refusals >= config.servers.length) throw refused(server, config, error)
      if (performance.now() > deadline) throw asTransient(error)
      const waits = `waiting for MySQL on ${addressOf(server)}: ${why}`
      // A warning, so that the operator who started the migration sees why it waits.
      if (line.due(waits) !== undefined) log.warn({ server: addressOf(server) }, waits)
      await pause(PAUSE_MS, never)
    }
  }
}

async function connectedTo(server: Server, config: MysqlConfig): Promise<{ source: DataSource; runner: QueryRunner }> {
  const source = await connectTo(server, { ...config, poolSize: 2 }, { statementTimeoutMs: undefined })
  try {
    const runner = source.createQueryRunner()
    const times = { lockTimeoutS: METADATA_LOCK_S, statementTimeoutMs: undefined }
    await setUpSession((statement, parameters) => runner.query(statement, parameters), times, { mustTakeWrites: true })
    return { source, runner }
  } catch (error) {
    await source.destroy().catch(() => {})
    throw error
  }
}

async function lock(runner: QueryRunner, { database, migrationTimeoutMs }: MysqlConfig, log: Log): Promise<void> {
  // Lock names are global to the server and have at most 64 characters.
  const name = `ims migration ${database}`.slice(0, 64)
  if (await tryLock(runner, name, 0)) return
  log.info({ database }, 'waiting for another migration to end')
  if (await tryLock(runner, name, Math.ceil(migrationTimeoutMs / 1_000))) return
  const why = `another migration of database ${database} did not end within ${migrationTimeoutMs} ms`
  throw new DatabaseError(why, { transient: true })
}

async function tryLock(runner: QueryRunner, name: string, seconds: number): Promise<boolean> {
  const rows: unknown = await runner.query('SELECT GET_LOCK(?, ?) AS locked', [name, seconds])
  return locked.parse(rows)[0].locked === 1
}
