// Tests what openDatabase waits for, the limits of the pool, and the outcome of transactions when MySQL fails.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { startTcpProxy, type TcpProxy } from 'testkit'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const SHORT = {
  MYSQL_POOL_SIZE: '2',
  MYSQL_ACQUIRE_TIMEOUT_MS: '500',
  MYSQL_CONNECT_TIMEOUT_MS: '1000',
  MYSQL_STATEMENT_TIMEOUT_MS: '1500',
  MYSQL_LOCK_TIMEOUT_S: '1',
  MYSQL_RETRY_MOST_MS: '100',
}
const created = { kind: 'created', repeated: false }

const until = async (check: () => boolean) => {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe('openDatabase', () => {
  let mysql: MysqlUnderTest
  beforeAll(async () => {
    mysql = await mysqlUnderTest('open_database', SHORT)
  })
  afterAll(async () => {
    await mysql.drop()
  })

  it('waits for MySQL to respond, then for the schema to be migrated, and reports what it waits for', async () => {
    const free = await startTcpProxy(mysql.server)
    await free.close()
    const service = serviceUnderTest()
    const opening = openDatabase(through(mysql.config, free.port), service)
    await until(() => service.lines.some((line) => /^waiting for MySQL on \S+: .*ECONNREFUSED/.test(line)))
    expect(service.whyStarting()).toMatch(/^waiting for MySQL on 127\.0\.0\.1:\d+: .*ECONNREFUSED/)
    // The line appears once for all attempts within 30 s, and so does the one about the schema below.
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(service.warned).toEqual([expect.stringMatching(/^waiting for MySQL on \S+: .*ECONNREFUSED/)])
    const proxy = await startTcpProxy(mysql.server, free.port)
    await until(() => service.warned.some((line) => /^waiting for the schema to be migrated/.test(line)))
    await migrate(mysql.config, serviceUnderTest().log)
    const database = await opening
    expect(service.lines.at(-1)).toBe('connected to MySQL')
    expect(service.whyStarting()).toBeUndefined()
    expect(await database.notReady()).toBeUndefined()
    await database.close()
    await proxy.close()
  })

  it('opens a database that reports that it is ready while all its connections are in use', async () => {
    await migrate(mysql.config, serviceUnderTest().log)
    const database = await openDatabase(
      { ...mysql.config, poolSize: 1, acquireTimeoutMs: 500, statementTimeoutMs: 20_000 },
      serviceUnderTest(),
    )
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const work = database.use(async () => {
      begin()
      await held
    })
    await begun
    const checks = await Promise.all(Array.from({ length: 1_000 }, () => database.notReady()))
    expect(new Set(checks)).toEqual(new Set([undefined]))
    release()
    await work
    await database.close()
  })

  it('stops waiting when shutdown begins, even for a server that accepts connections but sends nothing', async () => {
    const proxy = await startTcpProxy(mysql.server)
    proxy.weather({ kind: 'black hole', towards: 'client' })
    const service = serviceUnderTest()
    const opening = openDatabase({ ...through(mysql.config, proxy.port), connectTimeoutMs: 60_000 }, service)
    setTimeout(() => service.stop(), 100)
    await expect(opening).rejects.toThrow('stopping')
    await proxy.close()
  })

  it('reports a server that accepts connections but sends nothing', async () => {
    const proxy = await startTcpProxy(mysql.server)
    proxy.weather({ kind: 'black hole', towards: 'client' })
    const service = serviceUnderTest()
    const opening = openDatabase({ ...through(mysql.config, proxy.port), connectTimeoutMs: 200 }, service)
    await until(() => service.lines.length > 0)
    expect(service.lines[0]).toMatch(/^waiting for MySQL on \S+: (connect ETIMEDOUT|MySQL did not respond)/)
    service.stop()
    await expect(opening).rejects.toThrow('stopping')
    await proxy.close()
  })
})

describe('a database', () => {
  let mysql: MysqlUnderTest
  let proxy: TcpProxy
  let database: Database
  beforeAll(async () => {
    mysql = await mysqlUnderTest('database', SHORT)
    const service = serviceUnderTest()
    await migrate(mysql.config, service.log)
    proxy = await startTcpProxy(mysql.server)
    database = await openDatabase(through(mysql.config, proxy.port), service)
  })
  beforeEach(async () => {
    await mysql.sql('DELETE FROM inventory')
    await mysql.sql('DELETE FROM inbox')
  })
  afterAll(async () => {
    await database.close()
    await proxy.close()
    await mysql.drop()
  })

  it('times out while no connection of the pool is free, and works again when one is free', async () => {
    const holding = [1, 2].map(() => database.use((sql) => sql('SELECT SLEEP(1)')))
    const waiting = [1, 2].map(() => database.use((sql) => sql('SELECT 1')))
    // Both are checked, because each would take a connection from the pool for good if it did not return a late one.
    for (const outcome of await Promise.allSettled(waiting))
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: {
          transient: true,
          message: expect.stringContaining('no connection to MySQL was free within 500 ms (pool of 2)'),
        },
      })
    await Promise.all(holding)
    expect(await database.use((sql) => sql('SELECT 1'))).toHaveLength(1)
  })

  it('treats a statement without a response as transient, and returns the right result for the next statement', async () => {
    await expect(database.use((sql) => sql('SELECT SLEEP(3)'))).rejects.toMatchObject({ transient: true })
    expect(await database.use((sql) => sql('SELECT 7 AS seven'))).toMatchObject([{ seven: expect.anything() }])
  })

  it('treats a lost response to a COMMIT as transient, and a retry reports the message as already applied', async () => {
    const command = creation({}, { messageId: 'm' })
    proxy.loseAnswerTo('COMMIT')
    await expect(inventoryIn(database).create([command])).rejects.toMatchObject({ transient: true })
    expect(await inventoryIn(database).create([command])).toEqual([{ kind: 'created', repeated: true }])
  })

  it('stores nothing when the connection is lost before the COMMIT', async () => {
    const command = creation({}, { messageId: 'm' })
    proxy.loseAnswerTo('INSERT INTO inventory')
    await expect(inventoryIn(database).create([command])).rejects.toMatchObject({ transient: true })
    expect(await inventoryIn(database).create([command])).toEqual([created])
  })

  it('treats a lock wait timeout as transient', async () => {
    await inventoryIn(database).create([creation({})])
    await database.transaction(async (sql) => {
      await sql("SELECT id FROM inventory WHERE sku = 'k1' FOR UPDATE")
      await expect(inventoryIn(database).delete([deletion('k1')])).rejects.toMatchObject({
        transient: true,
        message: expect.stringContaining('another transaction holds the rows'),
      })
    })
  })

  it('does not treat a syntax error as transient', async () => {
    await expect(database.use((sql) => sql('SELEKT 1'))).rejects.toMatchObject({ transient: false, errno: 1064 })
  })

  it('applies each message once when two replicas apply the same batch at the same time, in opposite orders', async () => {
    const commands = Array.from({ length: 60 }, (_, n) => creation({ sku: `s${n}` }, { messageId: `m${n}` }))
    const batches = [commands, commands.toReversed()]
    // With a short timeout, a COMMIT on a busy disk could be applied without a response, and its retry reported as repeated.
    const patient = await openDatabase({ ...mysql.config, statementTimeoutMs: 60_000 }, serviceUnderTest())
    const untilReported = async (batch: typeof commands) => {
      for (;;) {
        try {
          return await inventoryIn(patient).create(batch)
        } catch (error) {
          expect(error).toMatchObject({ transient: true })
        }
      }
    }
    const outcomes = (await Promise.all(batches.map(untilReported))).flat()
    await patient.close()
    expect(outcomes.filter((outcome) => outcome.kind === 'created' && !outcome.repeated)).toHaveLength(60)
    expect(outcomes.filter((outcome) => outcome.kind === 'created' && outcome.repeated)).toHaveLength(60)
  })
})
