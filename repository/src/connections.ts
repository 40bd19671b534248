// Lends connections to one server of the list at a time. A connection whose state is uncertain is destroyed, not reused.

import { addressOf, type Server } from '@ims/runtime/server-list'
import type { MysqlConfig } from './config.ts'
import { meaningOf, wantsAnotherServer } from './errors.ts'
import { type Borrowed, ServerPool } from './server-pool.ts'

export type Lent = Pick<Borrowed, 'sql' | 'inTransaction'>

export interface Connections {
  /**
   * Lends a connection to `work`. Rejects with DatabaseError, which is transient if no connection is available in time.
   * The connection is reused only if the server's last response says that no transaction is open, and `work` succeeded,
   * failed because of a row, or was rolled back in favour of another transaction. Otherwise it is destroyed, which rolls
   * back an open transaction.
   */
  lend<T>(work: (lent: Lent) => Promise<T>): Promise<T>
  /** Like `lend`, but on a separate connection to the same server, so that checks and messages do not compete for connections. */
  lendForCheck<T>(work: (lent: Lent) => Promise<T>): Promise<T>
  /** The server in use, as `host:port`. */
  readonly address: string
  close(): Promise<void>
}

/** Connections to the servers of `config`. Each is opened when it is first needed. */
export const connectionsTo = (config: MysqlConfig): Connections => new OneAtATime(config)

/** Uses one server. Moves to the next server in the list after an error that another server may not have. */
class OneAtATime implements Connections {
  readonly #config: MysqlConfig
  readonly #users = new Map<ServerPool, number>()
  /** For each pool in use, the pool for checks. */
  readonly #checking = new Map<ServerPool, ServerPool>()
  /** Starts at a random server, so that replicas spread over the servers. */
  #at: number
  #pool: ServerPool

  constructor(config: MysqlConfig) {
    this.#config = config
    this.#at = Math.floor(Math.random() * config.servers.length)
    this.#pool = new ServerPool(this.#server(), config)
  }

  get address(): string {
    return addressOf(this.#pool.server)
  }

  lend<T>(work: (lent: Lent) => Promise<T>): Promise<T> {
    return this.#lend(this.#pool, this.#pool, work)
  }

  lendForCheck<T>(work: (lent: Lent) => Promise<T>): Promise<T> {
    const pool = this.#pool
    const checking = this.#checking.get(pool) ?? new ServerPool(pool.server, { ...this.#config, poolSize: 1 })
    this.#checking.set(pool, checking)
    return this.#lend(pool, checking, work)
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool, ...this.#users.keys(), ...this.#checking.values()].map((pool) => pool.close()))
  }

  async #lend<T>(pool: ServerPool, from: ServerPool, work: (lent: Lent) => Promise<T>): Promise<T> {
    this.#users.set(pool, (this.#users.get(pool) ?? 0) + 1)
    try {
      return await lendFrom(from, work)
    } catch (error) {
      if (wantsAnotherServer(error)) this.#moveOn(pool)
      throw error
    } finally {
      this.#users.set(pool, (this.#users.get(pool) ?? 0) - 1)
      this.#closeIfUnused(pool)
    }
  }

  #server(): Server {
    const server = this.#config.servers[this.#at]
    if (server === undefined) throw new Error('the list of servers is empty')
    return server
  }

  #moveOn(from: ServerPool): void {
    const { servers } = this.#config
    if (servers.length === 1 || this.#pool !== from) return
    this.#at = (this.#at + 1) % servers.length
    this.#pool = new ServerPool(this.#server(), this.#config)
  }

  /** Closes a pool that was replaced, after its last borrower has returned the connection. */
  #closeIfUnused(pool: ServerPool): void {
    if (this.#users.get(pool) !== 0) return
    this.#users.delete(pool)
    if (pool === this.#pool) return
    void pool.close()
    void this.#checking.get(pool)?.close()
    this.#checking.delete(pool)
  }
}

async function lendFrom<T>(pool: ServerPool, work: (lent: Lent) => Promise<T>): Promise<T> {
  const borrowed = await pool.borrow()
  let isReusable = false
  try {
    const result = await work(borrowed)
    isReusable = !borrowed.inTransaction
    return result
  } catch (error) {
    const meaning = meaningOf(error)
    isReusable = !borrowed.inTransaction && (meaning === 'row' || meaning === 'again')
    throw error
  } finally {
    borrowed.giveBack(isReusable)
  }
}
