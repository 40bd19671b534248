// Retention deletes the inbox rows that are older than its limit, and nothing else, without delaying messages.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { z } from 'zod'
import type { BackgroundJob } from '../src/background-job.ts'
import type { RetentionConfig } from '../src/config.ts'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { startRetention } from '../src/retention.ts'
import { adjustment, creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { type ServiceUnderTest, serviceUnderTest } from './service.ts'

const SOON: RetentionConfig = { days: 30, everyMs: 20 }
const counted = z.tuple([z.object({ n: z.coerce.number() })])

describe('the retention of the inbox', () => {
  let mysql: MysqlUnderTest
  let database: Database
  let service: ServiceUnderTest
  let removed = 0
  const running: BackgroundJob[] = []

  beforeAll(async () => {
    mysql = await mysqlUnderTest('retention', { MYSQL_LOCK_TIMEOUT_S: '1' })
    await migrate(mysql.config, serviceUnderTest().log)
    database = await openDatabase(mysql.config, serviceUnderTest())
  })
  beforeEach(async () => {
    await mysql.sql('DELETE FROM inbox')
    await mysql.sql('DELETE FROM inventory')
    service = serviceUnderTest()
    removed = 0
  })
  afterAll(async () => {
    await database.close()
    await mysql.drop()
  })

  const start = (config: RetentionConfig = SOON, on: Pick<Database, 'use' | 'notReady'> = database) => {
    const meter = {
      count: (metric: string, _ = {}, by = 1) => {
        if (metric === 'inbox_rows_removed') removed += by
      },
    }
    const retention = startRetention(on, config, { ...service, meter })
    running.push(retention)
    return retention
  }
  const closeAll = async () => void (await Promise.all(running.splice(0).map((each) => each.close())))
  /** Inserts `count` rows of this age, whose message ids start with the age. */
  const rows = async (count: number, age: string) => {
    for (let from = 0; from < count; from += 5_000) {
      const values = Array.from(
        { length: Math.min(5_000, count - from) },
        (_, n) => `('create_item', '${age} ${from + n}', 'f', 'created', UTC_TIMESTAMP(3) - INTERVAL ${age})`,
      )
      await mysql.sql(
        `INSERT INTO inbox (queue, message_id, fingerprint, outcome, applied_at) VALUES ${values.join(', ')}`,
      )
    }
  }
  const left = async (where = '1 = 1') =>
    counted.parse(await mysql.sql(`SELECT CAST(COUNT(*) AS CHAR) AS n FROM inbox WHERE ${where}`))[0].n

  const waitedForRowsMs = async () => {
    const [, ms] = (await mysql.root.sql("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_time'")).split('\t')
    return Number(ms)
  }

  it('deletes rows older than 30 days, to the minute, and keeps younger ones', async () => {
    await rows(3, '31 DAY')
    await rows(2, '43201 MINUTE')
    await rows(4, '43199 MINUTE')
    await rows(5, '1 HOUR')
    start()
    await eventually(async () => expect(await left()).toBe(9))
    await new Promise((resolve) => setTimeout(resolve, 200))
    await closeAll()
    expect(await left("message_id LIKE '43199 %' OR message_id LIKE '1 HOUR%'")).toBe(9)
    expect(removed).toBe(5)
    expect(service.lines).toEqual(['removed old rows of the inbox'])
  })

  it('deletes nothing when it is configured with 0 days', async () => {
    await rows(3, '4000 DAY')
    start({ days: 0, everyMs: 20 })
    await new Promise((resolve) => setTimeout(resolve, 300))
    await closeAll()
    expect(await left()).toBe(3)
  })

  it('deletes in many batches from two replicas at the same time, and counts each row once', async () => {
    await rows(6_000, '40 DAY')
    await rows(50, '2 DAY')
    start()
    start()
    await eventually(async () => expect(await left()).toBe(50))
    await closeAll()
    expect(removed).toBe(6_000)
    expect(service.lines.filter((line) => line.includes('could not'))).toEqual([])
  })

  it('lets the server delete by the index on applied_at', async () => {
    await rows(2_000, '40 DAY')
    await rows(3_000, '2 DAY')
    await mysql.sql('ANALYZE TABLE inbox')
    const statement =
      'DELETE FROM inbox WHERE applied_at < UTC_TIMESTAMP(3) - INTERVAL 30 DAY ORDER BY applied_at LIMIT 500'
    // MariaDB does not support FORMAT=TRADITIONAL, and MySQL 9 has another default.
    const asked = mysql.sql(`EXPLAIN FORMAT=TRADITIONAL ${statement}`)
    const plan = JSON.stringify(await asked.catch(() => mysql.sql(`EXPLAIN ${statement}`)))
    expect(plan).toContain('"key":"applied_at"')
  })

  it('makes creates and deletes wait for less than 300 ms in total, and keeps their inbox rows', async () => {
    await rows(10_000, '40 DAY')
    const inventory = inventoryIn(database)
    start()
    const before = await waitedForRowsMs()
    for (let n = 0; n < 60; n += 1) {
      const commands = Array.from({ length: 20 }, (_, k) =>
        creation({ sku: `s${n}-${k}` }, { messageId: `new ${n} ${k}` }),
      )
      expect(await inventory.create(commands)).toEqual(commands.map(() => ({ kind: 'created', repeated: false })))
      await inventory.delete([deletion(`s${n}-0`, { messageId: `delete ${n}` })])
    }
    await eventually(async () => expect(await left("message_id LIKE '40 DAY%'")).toBe(0))
    await closeAll()
    expect(await left()).toBe(60 * 21)
    // The server's total of all row lock waits. One statement alone may wait for up to a second.
    expect((await waitedForRowsMs()) - before).toBeLessThan(300)
  })

  it('does not wait for a message that is being applied', async () => {
    await rows(10, '40 DAY')
    let finish = () => {}
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    const applying = database.transaction(async (sql) => {
      await sql(
        "INSERT INTO inbox (queue, message_id, fingerprint, outcome) VALUES ('create_item', 'young', 'f', 'created')",
      )
      await held
    })
    start()
    await eventually(async () => expect(await left("message_id LIKE '40 DAY%'")).toBe(0))
    finish()
    await applying
    await closeAll()
    expect(await left()).toBe(1)
    expect(service.lines).toEqual(['removed old rows of the inbox'])
  })

  it('sends no statement while the database is not ready, logs a failed deletion, and continues afterwards', async () => {
    await rows(3, '40 DAY')
    let trouble: 'not ready' | 'failing' | undefined = 'not ready'
    let statements = 0
    start(SOON, {
      notReady: async () => (trouble === 'not ready' ? 'MySQL: away' : undefined),
      use: async (work) => {
        statements += 1
        if (trouble === 'failing') throw new Error('DELETE command denied')
        return await database.use(work)
      },
    })
    await eventually(() =>
      expect(service.lines).toContain('not deleting old rows of the inbox, because the database is not ready'),
    )
    expect(statements).toBe(0)
    trouble = 'failing'
    await eventually(() => expect(service.lines.join()).toContain('will try again later: DELETE command denied'))
    trouble = undefined
    await eventually(async () => expect(await left()).toBe(0))
    await closeAll()
  })

  it('closes in the middle of a long round during shutdown', async () => {
    await rows(5_000, '40 DAY')
    const retention = start()
    await eventually(() => expect(removed).toBeGreaterThan(0))
    service.stop()
    const since = performance.now()
    await retention.close()
    expect(performance.now() - since).toBeLessThan(20_000)
    expect(await left()).toBeGreaterThan(0)
  })

  it('makes a message that is redelivered later look new: a create is refused as a duplicate, or stores a deleted item again', async () => {
    const inventory = inventoryIn(database)
    const kept = creation({ sku: 'kept' }, { messageId: 'kept', redelivered: true })
    const gone = creation({ sku: 'gone' }, { messageId: 'gone', redelivered: true })
    await inventory.create([kept, gone])
    await inventory.delete([deletion('gone', { messageId: 'delete' })])
    expect(await inventory.create([kept, gone])).toMatchObject([{ repeated: true }, { repeated: true }])
    await mysql.sql('UPDATE inbox SET applied_at = applied_at - INTERVAL 31 DAY')
    start()
    await eventually(async () => expect(await left()).toBe(0))
    await closeAll()
    expect(await inventory.create([kept, gone])).toMatchObject([
      { kind: 'duplicate-sku' },
      { kind: 'created', repeated: false },
    ])
    expect(await inventory.delete([deletion('gone', { messageId: 'delete' })])).toEqual([
      { kind: 'deleted', repeated: false },
    ])
  })

  it('does not affect changes of stock: without an inbox row they are still applied once, and their ids cannot be reused', async () => {
    const inventory = inventoryIn(database)
    await inventory.create([creation({ quantity: 10 })])
    const sold = adjustment({ change: -3, reason: 'sold' }, { messageId: 'sold' })
    expect(await inventory.adjust([sold])).toEqual([{ kind: 'adjusted', quantity: 7, repeated: false }])
    await mysql.sql('DELETE FROM inbox')
    expect(await inventory.adjust([sold])).toEqual([{ kind: 'adjusted', quantity: 7, repeated: true }])
    for (const other of [{ change: -4 }, { reason: 'broken' }, { sku: 'k2' }])
      expect(
        await inventory.adjust([{ ...sold, fingerprint: 'another', body: { ...sold.body, ...other } }]),
      ).toMatchObject([{ kind: 'message-id-reused' }])
  })
})
