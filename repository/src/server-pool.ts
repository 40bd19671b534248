// The pool on one server: borrows connections against a deadline, sets each one up once, and retires them with age.
import type { DataSource, QueryRunner } from 'typeorm'
import { z } from 'zod'
import type { MysqlConfig } from './config.ts'
import { connectTo } from './data-source.ts'
import { asDatabaseError, asTransient, DatabaseError } from './errors.ts'
import type { Server } from './server-list.ts'
import { IDLE_TIMEOUT_S, setUpSession } from './session.ts'
import { withDeadline } from './waiting.ts'

/** Sends one statement and resolves with what the driver returns: rows, or a header with `affectedRows`. Rejects with DatabaseError. */
export type Sql = (statement: string, parameters?: unknown[]) => Promise<unknown>

export interface Borrowed {
  readonly sql: Sql
  /** Whether a transaction is open, as the server said last. */
  readonly inTransaction: boolean
  /** Ends the loan. The connection is lent again only if it `isReusable`; otherwise it is destroyed, which rolls back. */
  giveBack(isReusable: boolean): void
}

interface Connection {
  destroy(): void
}
const connectionOf = z.custom<Connection>((value) => typeof value === 'object' && value !== null && 'destroy' in value)

/** Younger than the server's own limit, so that the server does not close a connection while we send on it. */
const IDLE_MAX_MS = (IDLE_TIMEOUT_S - 2) * 1_000

export class ServerPool {
  readonly server: Server
  readonly #config: MysqlConfig
  readonly #ages = new WeakMap<Connection, { endsAtMs: number; usedAtMs: number }>()
  #opened: Promise<DataSource> | undefined
  #isClosing = false

  constructor(server: Server, config: MysqlConfig) {
    this.server = server
    this.#config = config
  }

  /** A connection that is set up. Rejects with a transient DatabaseError: nothing that fails here is a message's fault. */
  async borrow(): Promise<Borrowed> {
    try {
      for (;;) {
        const { runner, connection } = await this.#acquire()
        const borrowed = this.#lend(runner, connection)
        const age = this.#ages.get(connection)
        if (age === undefined) return await this.#setUp(borrowed, connection)
        if (performance.now() < Math.min(age.endsAtMs, age.usedAtMs + IDLE_MAX_MS)) return borrowed
        borrowed.giveBack(false)
      }
    } catch (error) {
      throw asTransient(error)
    }
  }

  /** Closes all connections; those that are lent end with the statement in hand. Never rejects. */
  async close(): Promise<void> {
    this.#isClosing = true
    const late = () => new Error('late')
    const closed = this.#opened?.then((source) => (source.isInitialized ? source.destroy() : undefined))
    if (closed) await withDeadline(closed, this.#config.acquireTimeoutMs, late).catch(() => {})
  }

  #lend(runner: QueryRunner, connection: Connection): Borrowed {
    let inTransaction = false
    let isBroken = false
    const sql: Sql = async (statement, parameters) => {
      if (isBroken) throw new DatabaseError('the connection to MySQL was lost', { transient: true })
      try {
        const answer: unknown = await runner.query(statement, parameters)
        inTransaction = saysInTransaction(answer) ?? inTransaction
        return answer
      } catch (error) {
        const failure = asDatabaseError(error)
        // Without an answer from the server nobody knows what the connection still has to say.
        isBroken = failure.errno === undefined
        throw failure
      }
    }
    return {
      sql,
      get inTransaction() {
        return inTransaction
      },
      giveBack: (isReusable) => {
        const age = this.#ages.get(connection)
        if (age) age.usedAtMs = performance.now()
        if (!isReusable || isBroken || this.#isClosing) connection.destroy()
        void runner.release()
      },
    }
  }

  async #setUp(borrowed: Borrowed, connection: Connection): Promise<Borrowed> {
    const { servers, connectionAgeMaxMs } = this.#config
    try {
      await setUpSession(borrowed.sql, this.#config, { mustTakeWrites: servers.length > 1 })
    } catch (error) {
      borrowed.giveBack(false)
      throw error
    }
    // Jittered, so that connections that were made together do not end together.
    const lifeMs = connectionAgeMaxMs * (0.75 + Math.random() / 4)
    const now = performance.now()
    this.#ages.set(connection, { endsAtMs: now + lifeMs, usedAtMs: now })
    return borrowed
  }

  async #acquire(): Promise<{ runner: QueryRunner; connection: Connection }> {
    const { acquireTimeoutMs, poolSize } = this.#config
    const runner = (await this.#open()).createQueryRunner()
    const acquired: Promise<unknown> = runner.connect()
    const late = () =>
      new DatabaseError(`no connection to MySQL was free within ${acquireTimeoutMs} ms (pool of ${poolSize})`, {
        transient: true,
      })
    try {
      return { runner, connection: connectionOf.parse(await withDeadline(acquired, acquireTimeoutMs, late)) }
    } catch (error) {
      // Whoever waits behind us must get the connection that comes too late for us.
      acquired.then(() => runner.release()).catch(() => {})
      throw error
    }
  }

  async #open(): Promise<DataSource> {
    this.#opened ??= this.#connect()
    try {
      return await this.#opened
    } catch (error) {
      this.#opened = undefined
      throw error
    }
  }

  async #connect(): Promise<DataSource> {
    const { connectTimeoutMs, statementTimeoutMs } = this.#config
    const connecting = connectTo(this.server, this.#config, { statementTimeoutMs })
    const late = () => new DatabaseError(`MySQL did not answer within ${connectTimeoutMs} ms`, { transient: true })
    try {
      return await withDeadline(connecting, connectTimeoutMs, late)
    } catch (error) {
      connecting.then((source) => source.destroy()).catch(() => {})
      throw error
    }
  }
}

/** Bit of the status flags in an OK packet (https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html). */
const SERVER_STATUS_IN_TRANS = 1
const okPacket = z.object({ serverStatus: z.int() })

/** Undefined when the answer is rows: the driver does not show the flags of those. */
function saysInTransaction(answer: unknown): boolean | undefined {
  if (Array.isArray(answer)) return undefined
  const { data } = okPacket.safeParse(answer)
  return data && (data.serverStatus & SERVER_STATUS_IN_TRANS) !== 0
}
