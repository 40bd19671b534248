// The way into MySQL: waits for it and for its schema, lends connections, runs transactions, says how it is.
import type { MysqlConfig } from './config.ts'
import { type Connections, openConnections, type Sql } from './connections.ts'
import { DatabaseError, meaningOf, sentenceOf } from './errors.ts'
import { migrations } from './migrations/index.ts'
import { recordedMigrations } from './migrations/recorded.ts'
import { faultsOf, readSchema } from './schema.ts'
import type { Service } from './service.ts'
import { pause, unlessAborted, withDeadline } from './waiting.ts'

/** Attempts that a transaction is given when it loses to another one (deadlock, lock timeout) before it counts as trouble. */
const ATTEMPTS_MOST = 5
/** Time that a readiness check may take, in milliseconds. */
const PING_MOST_MS = 2_000

export interface Database {
  /** Runs `work` on one connection outside a transaction: each statement reads what is committed now. Rejects with DatabaseError. */
  use<T>(work: (sql: Sql) => Promise<T>): Promise<T>
  /**
   * Runs `work` in one transaction; again, at once, when it lost to another transaction. Rejects with DatabaseError; a
   * transient one may mean that the COMMIT was carried out and its answer lost.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>
  /** Why MySQL cannot be used now, in one sentence; undefined when it answered. */
  notReady(): Promise<string | undefined>
  close(): Promise<void>
}

/** Thrown inside a transaction that saw the world change under it: it is rolled back and run again. */
export class RunAgain extends Error {
  override readonly name = 'RunAgain'
}

/**
 * Opens the database, waiting as long as it takes for MySQL to answer and for the schema to be migrated: start in any order.
 * Rejects when `service.stopping` aborts.
 */
export async function openDatabase(config: MysqlConfig, { log, stopping }: Service): Promise<Database> {
  const where = { host: config.host, port: config.port, database: config.database }
  let said = ''
  for (let attempt = 1; ; attempt += 1) {
    stopping.throwIfAborted()
    const opening = tryToOpen(config)
    const opened = await unlessAborted(opening, stopping).catch((error) => abandon(opening, error))
    if (!('lacks' in opened)) {
      log.info(where, 'connected to MySQL')
      return new MysqlDatabase(opened)
    }
    if (said !== opened.lacks) log.info(where, opened.lacks)
    said = opened.lacks
    await pause(Math.min(config.retryMostMs, 100 * 2 ** Math.min(attempt, 20)), stopping)
  }
}

/** Shutdown began: what is opened from now on is closed again. */
function abandon(opening: ReturnType<typeof tryToOpen>, reason: unknown): never {
  void opening.then((opened) => ('lacks' in opened ? undefined : opened.close()))
  throw reason
}

async function tryToOpen(config: MysqlConfig): Promise<Connections | { lacks: string }> {
  let connections: Connections | undefined
  try {
    connections = await openConnections(config)
    const missing = await connections.lend(missingMigrations)
    const faults = missing.length > 0 ? [] : faultsOf(await connections.lend(readSchema))
    if (missing.length === 0 && faults.length === 0) return connections
    await connections.close()
    if (missing.length > 0)
      return { lacks: `waiting for the schema to be migrated (npm run migrate): ${missing.join(', ')}` }
    const wrong = faults.map(({ table, says }) => `${table}: ${says}`).join('; ')
    return { lacks: `waiting for the schema to be mended (npm run migrate mends it or says what to do): ${wrong}` }
  } catch (error) {
    await connections?.close()
    return { lacks: `waiting for MySQL: ${sentenceOf(error)}` }
  }
}

async function missingMigrations(sql: Sql): Promise<string[]> {
  const done = await recordedMigrations(sql)
  return migrations.map((migration) => new migration().name).filter((name) => !done.has(name))
}

class MysqlDatabase implements Database {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async use<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return await this.#connections.lend(work)
  }

  async transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#connections.lend((sql) => transact(sql, work))
      } catch (error) {
        if (!(error instanceof RunAgain) && meaningOf(error) !== 'again') throw error
        if (attempt < ATTEMPTS_MOST) continue
        const why = `the transaction lost ${attempt} times to another one: ${sentenceOf(error)}`
        throw new DatabaseError(why, { transient: true, cause: error })
      }
    }
  }

  async notReady(): Promise<string | undefined> {
    try {
      const late = () => new Error(`no answer within ${PING_MOST_MS} ms`)
      await withDeadline(
        this.use((sql) => sql('SELECT 1')),
        PING_MOST_MS,
        late,
      )
      return undefined
    } catch (error) {
      return `MySQL: ${sentenceOf(error)}`
    }
  }

  async close(): Promise<void> {
    await this.#connections.close()
  }
}

async function transact<T>(sql: Sql, work: (sql: Sql) => Promise<T>): Promise<T> {
  await sql('START TRANSACTION')
  try {
    const result = await work(sql)
    await sql('COMMIT')
    return result
  } catch (error) {
    // When this fails too, the connection is destroyed, which rolls back as well; the first error is the one to tell.
    await sql('ROLLBACK').catch(() => {})
    throw error
  }
}
