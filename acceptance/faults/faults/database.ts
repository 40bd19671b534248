// Faults of MySQL: killed, stopped for a while, deadlocks, connections killed, read-only, failover.
import { setTimeout as pause } from 'node:timers/promises'
import type { RowDataPacket } from 'mysql2/promise'
import { createdIsListed, crowd } from '../workload/scenarios.ts'
import { becomesTrue } from './broker.ts'
import type { Fault, Scene } from './fault.ts'

const killed: Fault = {
  kind: 'database kill -9',
  group: 'database',
  weight: 5,
  strike: async ({ world, random }) => {
    const { mysql } = world.stack.servers
    await mysql.kill()
    return {
      note: '',
      lastsMs: random.whole(0, 1_500),
      heal: async () => {
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
  strike: async ({ world, random }) => {
    const { mysql } = world.stack.servers
    await mysql.stop()
    const lastsMs = random.whole(minMs, maxMs)
    return {
      note: `${lastsMs} ms`,
      lastsMs,
      heal: async () => {
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
  strike: async ({ world }) => {
    const { mysql } = world.stack.servers
    const { user } = world.account
    const ids = await mysql.sql(`SELECT id FROM information_schema.processlist WHERE user = '${user}'`)
    const killed = ids.split('\n').filter((id) => id !== '')
    // A connection that has ended meanwhile must not protect the others.
    for (const id of killed) await mysql.sql(`KILL ${id}`).catch(() => {})
    return { note: `${killed.length}`, lastsMs: 0, heal: async () => killed.length > 0 }
  },
}

const readOnly: Fault = {
  kind: 'database read-only',
  group: 'database',
  weight: 4,
  strike: async ({ world, random }) => {
    const { mysql } = world.stack.servers
    await mysql.sql('SET GLOBAL read_only = ON')
    const refused = await world.stack.pool
      .query("INSERT INTO effect (kind, sku, name) VALUES ('insert', 'never', 'never')")
      .then(
        () => false,
        () => true,
      )
    return {
      note: '',
      lastsMs: random.whole(200, 3_000),
      heal: async () => {
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
 * The host name moved to a new server: open connections still lead to the old one, which is now read-only, and new
 * connections lead to a server that accepts writes. One server plays both, as if replication had no delay.
 */
const failedOver: Fault = {
  kind: 'database failed over, the old server read-only',
  group: 'database',
  weight: 5,
  strike: async ({ world, sender, random }) => {
    const ways = [...world.mysql.values()]
    // Every write starts with this statement.
    const refusals = ways.map((way) => way.refuse('INSERT INTO', READ_ONLY_ERROR, Number.POSITIVE_INFINITY, 'open'))
    const count = () => refusals.reduce((sum, each) => sum + each.count, 0)
    const moved = await becomesTrue(async () => {
      const before = count()
      await crowd(sender, random, createdIsListed, CROWD)
      return before > 0 && count() === before
    }, MOVED_WITHIN_MS)
    if (!moved) sender.history.lie(`services still wrote to a read-only server after ${MOVED_WITHIN_MS} ms`)
    for (const each of refusals) each.end()
    return { note: `${count()} writes refused`, lastsMs: 0, heal: async () => count() > 0 }
  },
}
/** Rows that a rival writes first, so that InnoDB chooses the consumer as the cheaper victim. */
const RIVAL_ROWS = 3_000

/** A rival locks the inventory, lets a consumer write its inbox and wait, then locks the inbox: one of the two must lose. */
const deadlock: Fault = {
  kind: 'database deadlock',
  group: 'database',
  weight: 5,
  strike: async ({ world }) => {
    const before = await deadlocks({ world })
    const connection = await world.stack.pool.getConnection()
    try {
      await connection.query('CREATE TABLE IF NOT EXISTS rival (id BIGINT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB')
      await connection.query('START TRANSACTION')
      await connection.query('INSERT INTO rival (id) VALUES ?', [Array.from({ length: RIVAL_ROWS }, () => [null])])
      await connection.query('SELECT COUNT(*) FROM inventory FOR UPDATE')
      await pause(400)
      await connection.query<RowDataPacket[]>('SELECT COUNT(*) FROM inbox FOR UPDATE')
      await connection.query('ROLLBACK')
    } catch {
      // The rival lost, which is still a deadlock.
    } finally {
      connection.destroy()
    }
    return {
      note: '',
      lastsMs: 0,
      heal: async () => await becomesTrue(async () => (await deadlocks({ world })) > before),
    }
  },
}

export async function deadlocks({ world }: Pick<Scene, 'world'>): Promise<number> {
  const text = await world.stack.servers.mysql.sql(
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

/** Too long for the ordinary mix. A run of ten minutes has it once. */
export const databaseAwayForAMinute = stoppedFor('database stopped for a minute', 1, 60_000, 60_000)
