// A connection whose transaction is in an unknown state is never used again: the outcomes match what is stored.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type MysqlError, startTcpProxy, type TcpProxy } from 'testkit'
import { z } from 'zod'
import type { Inventory } from '../src/contract.ts'
import { type Database, openDatabase } from '../src/database.ts'
import { RunAgain } from '../src/errors.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { connectionIdOf, type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const INTERRUPTED: MysqlError = { errno: 1317, sqlState: '70100', message: 'Query execution was interrupted' }
const SHUTDOWN: MysqlError = { errno: 1053, sqlState: '08S01', message: 'Server shutdown in progress' }
const OF_A_PROXY: MysqlError = { errno: 9001, sqlState: 'HY000', message: 'Max connect timeout reached' }

/** Batches that are sent while statements are killed at random. */
const ROUNDS = 40

const ids = z.array(z.object({ id: z.coerce.number() }))
const texts = z.array(z.object({ text: z.string() }))

describe('a transaction in an unknown state', () => {
  let mysql: MysqlUnderTest
  let proxy: TcpProxy
  let database: Database
  let inventory: Inventory
  beforeAll(async () => {
    mysql = await mysqlUnderTest('unknown_state')
    const service = serviceUnderTest()
    await migrate(mysql.config, service.log)
    proxy = await startTcpProxy(mysql.server)
    database = await openDatabase({ ...through(mysql.config, proxy.port), poolSize: 1 }, service)
  })
  beforeEach(async () => {
    await mysql.sql('DELETE FROM inventory')
    await mysql.sql('DELETE FROM inbox')
    inventory = inventoryIn(database)
  })
  afterAll(async () => {
    await database.close()
    await proxy.close()
    await mysql.drop()
  })

  /** Retries like a consumer, until the outcome is known. */
  async function untilDone<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        expect(error).toMatchObject({ transient: true })
      }
    }
  }
  const stored = async () =>
    texts.parse(await mysql.sql('SELECT sku AS text FROM inventory ORDER BY sku')).map(({ text }) => text)
  const remembered = async (queue: string) =>
    texts
      .parse(await mysql.sql('SELECT CAST(message_id AS CHAR) AS text FROM inbox WHERE queue = ? ORDER BY 1', [queue]))
      .map(({ text }) => text)

  const edges = ['START TRANSACTION', 'SAVEPOINT', 'ROLLBACK TO SAVEPOINT', 'ROLLBACK', 'COMMIT'].flatMap((statement) =>
    [INTERRUPTED, SHUTDOWN, OF_A_PROXY].map((error) => ({ statement, error })),
  )
  it.each(edges)(
    'has outcomes that match the stored items when $statement fails with error $error.errno',
    async ({ statement, error }) => {
      await inventory.create([creation({ sku: 'taken' }, { messageId: 'm0' })])
      const batch = Array.from({ length: 20 }, (_, n) => creation({ sku: `s${n}` }, { messageId: `m1${n}` }))
      const commands = [...batch, creation({ sku: 'taken' }, { messageId: 'm2' })]
      proxy.refuse(statement, error)
      const outcomes = await untilDone(() => inventory.create(commands))
      expect(outcomes.map(({ kind }) => kind)).toEqual([...batch.map(() => 'created'), 'duplicate-sku'])
      // The next transaction of the pool must neither commit nor roll back anything of the previous one.
      await inventory.create([creation({ sku: 'after' }, { messageId: 'm3' })])
      expect(await stored()).toEqual([...batch.map(({ body }) => body.sku), 'after', 'taken'].sort())
      expect(await remembered('create_item')).toEqual(
        ['m0', ...batch.map(({ messageId }) => messageId), 'm2', 'm3'].sort(),
      )
    },
  )

  // A new message is not looked up in the inbox, so another replica can apply it after the rows were locked.
  const reads = [INTERRUPTED, OF_A_PROXY].flatMap((error) => [
    { error, redelivered: false, read: 'FOR UPDATE' },
    { error, redelivered: true, read: 'FROM inbox' },
  ])
  it.each(reads)(
    'has correct outcomes when a delete runs again and its ROLLBACK fails with error $error.errno, redelivered: $redelivered',
    async ({ error, redelivered, read }) => {
      await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b' })])
      const replica = await openDatabase(mysql.config, serviceUnderTest())
      // Another replica applies one of the two messages after this one has finished its reads.
      const held = proxy.holdAnswerTo(read)
      const deleting = untilDone(() =>
        inventory.delete([
          deletion('x', { messageId: 'm1', redelivered }),
          deletion('a', { messageId: 'm2', redelivered }),
        ]),
      )
      await held.answered
      await inventoryIn(replica).delete([deletion('x', { messageId: 'm1' })])
      proxy.refuse('ROLLBACK', error)
      held.release()
      await replica.close()
      expect(await deleting).toEqual([
        { kind: 'unknown-sku', repeated: true },
        { kind: 'deleted', repeated: false },
      ])
      expect(await stored()).toEqual(['b'])
      expect(await remembered('stock_management')).toEqual(['m1', 'm2'])
    },
  )

  it('loses no item while KILL QUERY interrupts statements at random', async () => {
    let isOn = true
    const storm = (async () => {
      while (isOn) {
        const running = ids.parse(
          await mysql.sql('SELECT id FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()', [
            mysql.config.database,
          ]),
        )
        for (const { id } of running) await mysql.sql(`KILL QUERY ${id}`).catch(() => {})
      }
    })()
    const skus: string[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const taken = skus.length === 0 ? [] : [creation({ sku: skus[0] ?? '' }, { messageId: `d${round}` })]
      const batch = Array.from({ length: 50 }, (_, n) =>
        creation({ sku: `r${round}-${n}` }, { messageId: `m${round}-${n}` }),
      )
      const outcomes = await untilDone(() => inventory.create([...taken, ...batch]))
      expect(outcomes.slice(taken.length).map(({ kind }) => kind)).toEqual(batch.map(() => 'created'))
      skus.push(...batch.map(({ body }) => body.sku))
    }
    isOn = false
    await storm
    expect(await stored()).toEqual(skus.sort())
  })

  it('stops at a statement that implicitly commits, because later statements could not be rolled back', async () => {
    const work = database.transaction(async (sql) => {
      // DDL commits by itself.
      await sql('CREATE TABLE IF NOT EXISTS made_by_the_test (n INT)')
      await sql("INSERT INTO inventory (sku) VALUES ('outside')")
    })
    await expect(work).rejects.toMatchObject({
      transient: true,
      message: expect.stringMatching(/the transaction ended before its COMMIT/),
    })
    expect(await stored()).toEqual([])
  })

  it('fails when it is still open after its COMMIT, and the next one does not belong to it', async () => {
    // The server then begins another transaction at each COMMIT.
    const chained = database.transaction((sql) => sql("SET SESSION completion_type = 'CHAIN'"))
    await expect(chained).rejects.toMatchObject({
      transient: true,
      message: expect.stringMatching(/still open after its COMMIT/),
    })
    await inventory.create([creation({ sku: 'after' }, { messageId: 'm' })])
    expect(await stored()).toEqual(['after'])
  })

  it('prevents the reuse of its connection while it is open', async () => {
    const before = await connectionIdOf(database)
    // A transaction that loses to another one does not cause a reconnect.
    await database.transaction(async (_, attempt) => {
      if (attempt === 1) throw new RunAgain('seen')
    })
    expect(await connectionIdOf(database)).toBe(before)
    await database.use((sql) => sql('START TRANSACTION'))
    expect(await connectionIdOf(database)).not.toBe(before)
  })
})
