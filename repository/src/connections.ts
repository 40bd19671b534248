// Lends connections to one server of the list at a time, and none again whose state is not certain.
import type { MysqlConfig } from './config.ts'
import { meaningOf, wantsAnotherServer } from './errors.ts'
import { addressOf, type Server } from './server-list.ts'
import { type Borrowed, ServerPool } from './server-pool.ts'

export type Lent = Pick<Borrowed, 'sql' | 'inTransaction'>

export interface Connections {
  /**
   * Lends a connection to `work`. Rejects with DatabaseError, a transient one when no connection is to be had in time. The
   * connection is lent again only if the server's last answer says that no transaction is open, and nothing failed but a row or
   * a race with another transaction. Any other is destroyed, which rolls back what it had open.
   */
  lend<T>(work: (lent: Lent) => Promise<T>): Promise<T>
  /** The server in use, as `host:port`. */
  readonly address: string
  close(): Promise<void>
}

/** Connections to the servers of `config`, none of which is opened before it is needed. */
export const connectionsTo = (config: MysqlConfig): Connections => new OneAtATime(config)

/** After a failure that another server may not have, the next one of the list is used. */
class OneAtATime implements Connections {
  readonly #config: MysqlConfig
  readonly #users = new Map<ServerPool, number>()
  /** Where the list begins is left to chance, so that replicas spread over the servers. */
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

  async lend<T>(work: (lent: Lent) => Promise<T>): Promise<T> {
    const pool = this.#pool
    this.#users.set(pool, (this.#users.get(pool) ?? 0) + 1)
    try {
      return await lendFrom(pool, work)
    } catch (error) {
      if (wantsAnotherServer(error)) this.#moveOn(pool)
      throw error
    } finally {
      this.#users.set(pool, (this.#users.get(pool) ?? 0) - 1)
      this.#closeIfLeft(pool)
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool, ...this.#users.keys()].map((pool) => pool.close()))
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

  /** Transactions that are still under way on a server that was left may end there. */
  #closeIfLeft(pool: ServerPool): void {
    if (this.#users.get(pool) !== 0) return
    this.#users.delete(pool)
    if (pool !== this.#pool) void pool.close()
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
