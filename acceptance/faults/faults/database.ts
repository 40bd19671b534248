// Faults of MySQL: it is killed or stopped, its connections are killed, it is read-only, it fails over, or there are deadlocks.
import { setTimeout as pause } from 'node:timers/promises'
import type { RowDataPacket } from 'mysql2/promise'
import { createdIsListed, crowd } from '../workload/scenarios.ts'
import { becomesTrue } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const killed: Fault = {
  kind: 'database kill -9',
  group: 'database',
  weight: 5,
  inject: async ({ testbed, random }) => {
    const { mysql } = testbed.stack.servers
    await mysql.kill()
    return {
      note: '',
      lastsMs: random.whole(0, 1_500),
      repair: async () => {
        await mysql.start()
        return true
      },
    }
  },
}

const stoppedFor = (kind: string, weight: number, minMs: number, maxMs: number): Fault => ({
  kind,
  group: 'database',
  weight,
  inject: async ({ testbed, random }) => {
    const { mysql } = testbed.stack.servers
    await mysql.stop()
    const lastsMs = random.whole(minMs, maxMs)
    return {
      note: `${lastsMs} ms`,
      lastsMs,
      repair: async () => {
        await mysql.start()
        return true
      },
    }
  },
})

const connectionsKilled: Fault = {
  kind: 'database connections killed',
  group: 'database',
  weight: 6,
  inject: async ({ testbed }) => {
    const { mysql } = testbed.stack.servers
    const { user } = testbed.account
    const ids = await mysql.sql(`SELECT id FROM information_schema.processlist WHERE user = '${user}'`)
    const killed = ids.split('\n').filter((id) => id !== '')
    // If a connection has already ended, the others must still be killed.
    for (const id of killed) await mysql.sql(`KILL ${id}`).catch(() => {})
    return { note: `${killed.length}`, lastsMs: 0, repair: async () => killed.length > 0 }
  },
}

const readOnly: Fault = {
  kind: 'database read-only',
  group: 'database',
  weight: 4,
  inject: async ({ testbed, random }) => {
    const { mysql } = testbed.stack.servers
    await mysql.sql('SET GLOBAL read_only = ON')
    const refused = await testbed.stack.pool
      .query("INSERT INTO effect (kind, sku, name) VALUES ('insert', 'never', 'never')")
      .then(
        () => false,
        () => true,
      )
    return {
      note: '',
      lastsMs: random.whole(200, 3_000),
      repair: async () => {
        await mysql.sql('SET GLOBAL read_only = OFF')
        return refused
      },
    }
  },
}

const MOVED_WITHIN_MS = 20_000
const CROWD = 20
const READ_ONLY_ERROR = {
  errno: 1290,
  sqlState: 'HY000',
  message: 'The MySQL server is running with the --read-only option so it cannot execute this statement',
}

/**
 * Simulates that the host name moves to a new server. Open connections still lead to the old server, which is now
 * read-only, and new connections lead to the new one. One server has both roles, as if replication had no delay.
 */
const failedOver: Fault = {
  kind: 'database failed over, the old server read-only',
  // Runs without other faults, because its result depends on writes of the services, and there are none while the broker is down.
  group: 'moment',
  weight: 5,
  inject: async ({ testbed, sender, random }) => {
    const proxies = [...testbed.mysql.values()]
    // Every write starts with this statement.
    const refusals = proxies.map((proxy) =>
      proxy.refuse('INSERT INTO', READ_ONLY_ERROR, Number.POSITIVE_INFINITY, 'open'),
    )
    const count = () => refusals.reduce((sum, each) => sum + each.count, 0)
    const moved = await becomesTrue(async () => {
      const before = count()
      await crowd(sender, random, createdIsListed, CROWD)
      return before > 0 && count() === before
    }, MOVED_WITHIN_MS)
    if (!moved)
      sender.history.reportContradiction(`services still wrote to a read-only server after ${MOVED_WITHIN_MS} ms`)
    for (const each of refusals) each.end()
    return { note: `${count()} writes refused`, lastsMs: 0, repair: async () => count() > 0 }
  },
}
/** The rival transaction of the deadlock first writes this many rows, so that InnoDB rolls back the consumer, which has written less. */
const RIVAL_ROWS = 3_000

/**
 * A rival transaction locks the inventory, lets a consumer write to the inbox and wait for the inventory, and then locks the
 * inbox. InnoDB rolls back one of the two.
 */
const deadlock: Fault = {
  kind: 'database deadlock',
  group: 'database',
  weight: 5,
  inject: async ({ testbed }) => {
    const before = await deadlocks({ testbed })
    const connection = await testbed.stack.pool.getConnection()
    try {
      await connection.query('CREATE TABLE IF NOT EXISTS rival (id BIGINT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB')
      await connection.query('START TRANSACTION')
      await connection.query('INSERT INTO rival (id) VALUES ?', [Array.from({ length: RIVAL_ROWS }, () => [null])])
      await connection.query('SELECT COUNT(*) FROM inventory FOR UPDATE')
      await pause(400)
      await connection.query<RowDataPacket[]>('SELECT COUNT(*) FROM inbox FOR UPDATE')
      await connection.query('ROLLBACK')
    } catch {
      // InnoDB rolled back the rival, which is still a deadlock.
    } finally {
      connection.destroy()
    }
    return {
      note: '',
      lastsMs: 0,
      repair: async () => await becomesTrue(async () => (await deadlocks({ testbed })) > before),
    }
  },
}

export async function deadlocks({ testbed }: Pick<Scene, 'testbed'>): Promise<number> {
  const text = await testbed.stack.servers.mysql.sql(
    "SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'",
  )
  return Number(text.trim())
}

export const databaseFaults: readonly Fault[] = [
  killed,
  stoppedFor('database stop and start', 3, 500, 6_000),
  connectionsKilled,
  readOnly,
  failedOver,
  deadlock,
]

/** This fault takes too long for the normal mix. A run of at least five minutes includes it once. */
export const databaseAwayForAMinute = stoppedFor('database stopped for a minute', 1, 60_000, 60_000)
