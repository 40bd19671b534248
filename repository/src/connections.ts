// The bounded pool: lends connections against a deadline, sets each one up once, and never lends a broken one again.
import { connect } from 'node:net'
import { DataSource, type Logger, type QueryRunner } from 'typeorm'
import { z } from 'zod'
import type { MysqlConfig } from './config.ts'
import { inboxEntity, inventoryEntity } from './entity.ts'
import { asDatabaseError, DatabaseError, errnoOf } from './errors.ts'
import { migrations } from './migrations/index.ts'
import { withDeadline } from './waiting.ts'

/** Sends one statement and resolves with what the driver returns: rows, or a header with `affectedRows`. Rejects with DatabaseError. */
export type Sql = (statement: string, parameters?: unknown[]) => Promise<unknown>

export interface Connections {
  /** Lends a connection to `work`. Rejects with a transient DatabaseError when none is free in time. */
  lend<T>(work: (sql: Sql) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** TypeORM would print slow statements, values included, to the console; what goes wrong is told by the errors. */
const silent: Logger = {
  logQuery() {},
  logQueryError() {},
  logQuerySlow() {},
  logSchemaBuild() {},
  logMigration() {},
  log() {},
}

/** A TypeORM data source on one MySQL; it never changes the schema by itself. */
export function dataSource(config: MysqlConfig, options: { statementTimeoutMs: number | undefined }): DataSource {
  return new DataSource({
    type: 'mysql',
    // What the driver compares the certificate with.
    host: config.tls?.serverName ?? config.host,
    port: config.port,
    username: config.user,
    password: config.password,
    database: config.database,
    poolSize: config.poolSize,
    charset: 'utf8mb4',
    timezone: 'Z',
    // A BIGINT that JavaScript can hold is a number, as an INT is. TypeORM would ask for text.
    bigNumberStrings: false,
    connectTimeout: config.connectTimeoutMs,
    entities: [inventoryEntity, inboxEntity],
    migrations,
    synchronize: false,
    logging: false,
    logger: silent,
    ...(options.statementTimeoutMs === undefined
      ? {}
      : { enableQueryTimeout: true, maxQueryExecutionTime: options.statementTimeoutMs }),
    extra: { enableKeepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS, ...encryption(config) },
  })
}

const KEEP_ALIVE_MS = 10_000

/** What mysql2 wants for TLS that is verified, by a name that may differ from where the server is. */
function encryption({ host, port, tls }: MysqlConfig): object {
  if (tls === undefined) return {}
  const { ca, cert, key, serverName } = tls
  const ssl = { ca, cert, key, rejectUnauthorized: true, verifyIdentity: true }
  if (serverName === undefined) return { ssl }
  return {
    ssl,
    stream: () => connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }),
  }
}

/** Opens the pool with one first connection. Rejects with DatabaseError when MySQL is not to be reached in time. */
export async function openConnections(config: MysqlConfig): Promise<Connections> {
  const source = dataSource(config, { statementTimeoutMs: config.statementTimeoutMs })
  const late = () => new DatabaseError(`MySQL did not answer within ${config.connectTimeoutMs} ms`, { transient: true })
  const initialized = source.initialize()
  try {
    await withDeadline(initialized, config.connectTimeoutMs, late)
  } catch (error) {
    initialized.then(() => source.destroy()).catch(() => {})
    throw asDatabaseError(error)
  }
  return new Pool(source, config)
}

class Pool implements Connections {
  readonly #source: DataSource
  readonly #config: MysqlConfig
  readonly #setUp = new WeakSet<object>()

  constructor(source: DataSource, config: MysqlConfig) {
    this.#source = source
    this.#config = config
  }

  async lend<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const runner = this.#source.createQueryRunner()
    const connection = await this.#acquire(runner)
    let whole = true
    const sql: Sql = async (statement, parameters) => {
      if (!whole) throw new DatabaseError('the connection to MySQL was lost', { transient: true })
      try {
        return await runner.query(statement, parameters)
      } catch (error) {
        // Without an answer from the server nobody knows what the connection still has to say.
        if (errnoOf(error) === undefined) whole = false
        throw asDatabaseError(error)
      }
    }
    try {
      if (!this.#setUp.has(connection)) await setUp(sql, this.#config)
      this.#setUp.add(connection)
      return await work(sql)
    } finally {
      if (!whole) connection.destroy()
      await runner.release()
    }
  }

  async #acquire(runner: QueryRunner): Promise<Lent> {
    const { acquireTimeoutMs, poolSize } = this.#config
    const acquired: Promise<unknown> = runner.connect()
    const late = () =>
      new DatabaseError(`no connection to MySQL was free within ${acquireTimeoutMs} ms (pool of ${poolSize})`, {
        transient: true,
      })
    try {
      return lent.parse(await withDeadline(acquired, acquireTimeoutMs, late))
    } catch (error) {
      // Whoever waits behind us must get the connection that comes too late for us.
      acquired.then(() => runner.release()).catch(() => {})
      throw asDatabaseError(error)
    }
  }

  async close(): Promise<void> {
    const late = () => new Error('late')
    await withDeadline(this.#source.destroy(), this.#config.acquireTimeoutMs, late).catch(() => {})
  }
}

interface Lent {
  destroy(): void
}
const lent = z.custom<Lent>((value) => typeof value === 'object' && value !== null && 'destroy' in value)

/** Strict, whatever the server's defaults: no value is cut silently, and a backslash escapes as the driver expects. */
export const STRICT = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'

async function setUp(sql: Sql, { lockTimeoutS }: MysqlConfig): Promise<void> {
  await sql(
    `SET SESSION sql_mode = '${STRICT}', autocommit = 1,
       time_zone = '+00:00', innodb_lock_wait_timeout = ${lockTimeoutS}, lock_wait_timeout = ${lockTimeoutS}`,
  )
  // Without gap locks: five consumers that insert and delete at once seldom stand in each other's way.
  await sql('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
}
