// The database: waits for MySQL and its schema, lends connections, runs transactions, and reports whether it is ready.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import type { MysqlConfig } from './config.ts'
import { type Connections, connectionsTo, type Lent } from './connections.ts'
import { asTransient, DatabaseError, errnoOf, meaningOf, sentenceOf } from './errors.ts'
import { migrations } from './migrations/index.ts'
import { recordedMigrations } from './migrations/recorded.ts'
import { type Operation, REHEARSALS } from './rehearsal.ts'
import { faultsOf } from './schema.ts'
import { readSchema } from './schema-found.ts'
import type { Sql } from './server-pool.ts'
import type { Service } from './service.ts'
import { traceSql } from './traces.ts'
import { pause, unlessAborted, withDeadline } from './waiting.ts'

/** Maximum attempts of a transaction that MySQL rolls back in favour of another, as in a deadlock. Then the transaction fails. */
const ATTEMPTS_MAX = 12
const LOCK_WAIT_TIMEOUT = 1205
/** Maximum pause before the second attempt. It grows by the same amount with each further attempt. */
const PAUSE_MAX_MS = 10
const PAUSES_GROW_FOR = 8
/** Timeout of a readiness check, shorter than the one that `runtime` sets. */
const PING_MAX_MS = 1_500
/** How often the log repeats, during startup, why MySQL cannot be used. */
const LOGGED_EVERY_MS = 30_000

export interface Database {
  /**
   * Runs `work` on one connection outside a transaction, so that each statement reads the latest committed data.
   * Rejects with DatabaseError.
   */
  use<T>(work: (sql: Sql) => Promise<T>): Promise<T>
  /**
   * Runs `work` in one transaction, and again after a short pause when it lost to another transaction. `attempt` counts
   * from 1. Rejects with DatabaseError. A transient error may mean that the COMMIT took effect and its response was
   * lost.
   */
  transaction<T>(work: (sql: Sql, attempt: number) => Promise<T>): Promise<T>
  /** Resolves with the reason why MySQL cannot be used (for `operation`), in one sentence, or with undefined when it can. */
  notReady(operation?: Operation): Promise<string | undefined>
  close(): Promise<void>
}

/**
 * Opens the database. Waits as long as necessary for MySQL to respond and for the schema to be migrated, so processes
 * can start in any order. Rejects when `service.stopping` aborts.
 */
export async function openDatabase(config: MysqlConfig, service: Service): Promise<Database> {
  const { log, stopping } = service
  const connections = connectionsTo(config)
  const line = new RepeatedLine(LOGGED_EVERY_MS)
  let waitsFor: string | undefined
  service.explainStart?.(() => waitsFor ?? `waiting for MySQL on ${connections.address}: no response yet`)
  for (let attempt = 1; ; attempt += 1) {
    const reason = await unlessAborted(reasonToWait(connections), stopping).catch((error) => {
      void connections.close()
      throw error
    })
    if (reason === undefined) {
      service.explainStart?.(() => undefined)
      log.info({ server: connections.address, database: config.database }, 'connected to MySQL')
      return new MysqlDatabase(connections)
    }
    if (line.due(reason) !== undefined) log.warn({ server: connections.address, database: config.database }, reason)
    waitsFor = reason
    await pause(Math.min(config.retryMaxMs, 100 * 2 ** Math.min(attempt, 20)), stopping)
  }
}

/** Why the database cannot be used yet, in one sentence. Undefined when it can. */
async function reasonToWait(connections: Connections): Promise<string | undefined> {
  const { address } = connections
  try {
    const missing = await connections.lend(({ sql }) => missingMigrations(sql))
    if (missing.length > 0) return `waiting for the schema to be migrated (npm run migrate): ${missing.join(', ')}`
    const faults = faultsOf(await connections.lend(({ sql }) => readSchema(sql)))
    if (faults.length === 0) return undefined
    const wrong = faults.map(({ table, problem }) => `${table}: ${problem}`).join('; ')
    return `waiting for the schema to be corrected (npm run migrate corrects it or says what to do): ${wrong}`
  } catch (error) {
    return `waiting for MySQL on ${address}: ${sentenceOf(error)}`
  }
}

/** The names of the migrations that have not run. */
export async function missingMigrations(sql: Sql): Promise<string[]> {
  const done = await recordedMigrations(sql)
  return migrations.map((migration) => new migration().name).filter((name) => !done.has(name))
}

class MysqlDatabase implements Database {
  readonly #connections: Connections
  readonly #checks = new Map<Operation | undefined, Promise<string | undefined>>()

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async use<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return await traceSql('read', this.#connections.address, () => this.#connections.lend(({ sql }) => work(sql)))
  }

  async transaction<T>(work: (sql: Sql, attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await traceSql('transaction', this.#connections.address, () =>
          this.#connections.lend((lent) => transact(lent, (sql) => work(sql, attempt))),
        )
      } catch (error) {
        if (meaningOf(error) !== 'again') throw error
        // Does not wait again after a lock wait timeout, so that the caller can run the other messages, whose rows may be free.
        const isHeld = errnoOf(error) === LOCK_WAIT_TIMEOUT
        if (attempt < ATTEMPTS_MAX && !isHeld) {
          // A random pause, so that the two transactions of a deadlock do not collide again.
          await pause(Math.random() * PAUSE_MAX_MS * Math.min(attempt, PAUSES_GROW_FOR), never)
          continue
        }
        const what = isHeld
          ? 'another transaction holds the rows'
          : `the transaction lost ${attempt} times to another one`
        const why = `${what}: ${sentenceOf(error)}`
        throw new DatabaseError(why, { transient: true, contended: true, cause: error })
      }
    }
  }

  notReady(operation?: Operation): Promise<string | undefined> {
    // Callers share a check that is already running.
    const running = this.#checks.get(operation)
    if (running !== undefined) return running
    const check = this.#check(operation).finally(() => this.#checks.delete(operation))
    this.#checks.set(operation, check)
    return check
  }

  async #check(operation: Operation | undefined): Promise<string | undefined> {
    const { address } = this.#connections
    const statements = operation === undefined ? ['SELECT 1'] : REHEARSALS[operation]
    try {
      const late = () => new Error(`no response within ${PING_MAX_MS} ms`)
      await withDeadline(
        this.#connections.lendForCheck(async ({ sql }) => {
          for (const statement of statements) await sql(statement)
        }),
        PING_MAX_MS,
        late,
      )
      return undefined
    } catch (error) {
      return `MySQL on ${address}: ${sentenceOf(error)}`
    }
  }

  async close(): Promise<void> {
    await this.#connections.close()
  }
}

/** Runs `work` in a transaction. If neither COMMIT nor ROLLBACK succeeds, `lent.inTransaction` stays true. */
async function transact<T>(lent: Lent, work: (sql: Sql) => Promise<T>): Promise<T> {
  const control = (statement: string) =>
    lent.sql(statement).catch((error) => {
      // In Galera a transaction can lose to another one at COMMIT. It may succeed when it runs again.
      throw meaningOf(error) === 'again' ? error : asTransient(error)
    })
  const inside: Sql = async (statement, parameters) => {
    const answer = await lent.sql(statement, parameters)
    // After an implicit commit, or behind a proxy that switched servers, later statements could not be rolled back.
    if (!lent.inTransaction) throw new DatabaseError('the transaction ended before its COMMIT', { transient: true })
    return answer
  }
  await control('START TRANSACTION')
  let result: T
  try {
    result = await work(inside)
  } catch (error) {
    // If this fails too, the connection is destroyed, which also rolls back. Report the first error.
    await lent.sql('ROLLBACK').catch(() => {})
    throw error
  }
  await control('COMMIT')
  if (lent.inTransaction) throw new DatabaseError('the transaction is still open after its COMMIT', { transient: true })
  return result
}

const never = new AbortController().signal
