// The pool of connections to one server: lends them within a deadline, sets each one up once, and replaces old ones.

import type { Server } from '@ims/runtime/server-list'
import type { DataSource, QueryRunner } from 'typeorm'
import { z } from 'zod'
import type { MysqlConfig } from './config.ts'
import { connectTo } from './data-source.ts'
import { asDatabaseError, asTransient, DatabaseError } from './errors.ts'
import { IDLE_TIMEOUT_S, setUpSession } from './session.ts'
import { withDeadline } from './waiting.ts'

/** Sends one statement and resolves with the driver's result: rows, or a header with `affectedRows`. Rejects with DatabaseError. */
export type Sql = (statement: string, parameters?: unknown[]) => Promise<unknown>

export interface Borrowed {
  readonly sql: Sql
  /** Whether a transaction is open, according to the server's last response. */
  readonly inTransaction: boolean
  /** Returns the connection. It is reused only if `isReusable`; otherwise it is destroyed, which rolls back. */
  giveBack(isReusable: boolean): void
}

interface Connection {
  destroy(): void
}
const connectionOf = z.custom<Connection>((value) => typeof value === 'object' && value !== null && 'destroy' in value)

/** Shorter than the server's own limit, so that the server does not close a connection while a statement is sent. */
const IDLE_MAX_MS = (IDLE_TIMEOUT_S - 2) * 1_000

export class ServerPool {
  readonly server: Server
  readonly #config: MysqlConfig
  readonly #ages = new WeakMap<Connection, { endsAtMs: number; usedAtMs: number }>()
  #opened: Promise<DataSource> | undefined
  #lent = 0
  #isClosing = false

  constructor(server: Server, config: MysqlConfig) {
    this.server = server
    this.#config = config
  }

  /** Lends a connection that is ready for use. Rejects with a transient DatabaseError, because no message can cause a failure here. */
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

  /** Closes all connections. Those that are lent are closed after their current statement. Never rejects. */
  async close(): Promise<void> {
    this.#isClosing = true
    const late = () => new Error('late')
    const closed = this.#opened?.then((source) => (source.isInitialized ? source.destroy() : undefined))
    if (closed) await withDeadline(closed, this.#config.acquireTimeoutMs, late).catch(() => {})
  }

  #lend(runner: QueryRunner, connection: Connection): Borrowed {
    let inTransaction = false
    let isBroken = false
    this.#lent += 1
    const sql: Sql = async (statement, parameters) => {
      if (isBroken) throw new DatabaseError('the connection to MySQL was lost', { transient: true })
      try {
        const answer: unknown = await runner.query(statement, parameters)
        inTransaction = saysInTransaction(answer) ?? inTransaction
        return answer
      } catch (error) {
        const failure = asDatabaseError(error)
        // Without a response from the server, the state of the connection is unknown.
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
        this.#lent -= 1
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
    // Jitter, so that connections that were opened together are not replaced together.
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
        ours: this.#lent >= poolSize,
      })
    try {
      return { runner, connection: connectionOf.parse(await withDeadline(acquired, acquireTimeoutMs, late)) }
    } catch (error) {
      // A connection that arrives too late goes back to the pool for the next caller.
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
    const late = () => new DatabaseError(`MySQL did not respond within ${connectTimeoutMs} ms`, { transient: true })
    try {
      return await withDeadline(connecting, connectTimeoutMs, late)
    } catch (error) {
      connecting.then((source) => source.destroy()).catch(() => {})
      throw error
    }
  }
}

/** A bit of the status flags in an OK packet (https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html). */
const SERVER_STATUS_IN_TRANS = 1
const okPacket = z.object({ serverStatus: z.int() })

/** Undefined when the response contains rows, because the driver then does not expose the status flags. */
function saysInTransaction(answer: unknown): boolean | undefined {
  if (Array.isArray(answer)) return undefined
  const { data } = okPacket.safeParse(answer)
  return data && (data.serverStatus & SERVER_STATUS_IN_TRANS) !== 0
}
