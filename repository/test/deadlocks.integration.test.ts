// Several replicas that use the same few skus: they rarely deadlock, no batch fails, and locks on unrelated rows do not delay them.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const REPLICAS = 3
const HOT_SKUS = 300
const BATCH = 60
const LASTS_MS = 4_000

describe('replicas that use the same few skus', () => {
  let mysql: MysqlUnderTest
  let database: Database
  beforeAll(async () => {
    mysql = await mysqlUnderTest('deadlocks')
    await migrate(mysql.config, serviceUnderTest().log)
    database = await openDatabase(mysql.config, serviceUnderTest())
  })
  beforeEach(async () => {
    await mysql.sql('DELETE FROM inventory')
    await mysql.sql('DELETE FROM inbox')
  })
  afterAll(async () => {
    await database.close()
    await mysql.drop()
  })
  const deadlocks = async () =>
    Number(await mysql.root.sql("SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'"))

  it('deadlock in fewer than 20 % of the batches, fail no batch, and store as many items as they report', async () => {
    const before = await deadlocks()
    const endsAt = performance.now() + LASTS_MS
    const counts = { batches: 0, failed: 0, created: 0, deleted: 0 }
    const randomSkus = () => Array.from({ length: BATCH }, () => `hot${Math.floor(Math.random() * HOT_SKUS)}`)
    let lastId = 0
    const message = () => ({ messageId: `m${lastId++}` })
    const replica = async (kind: 'create' | 'delete') => {
      const own = await openDatabase(mysql.config, serviceUnderTest())
      const inventory = inventoryIn(own)
      while (performance.now() < endsAt) {
        const skus = randomSkus()
        const creations = skus.map((sku) => creation({ sku }, message()))
        const deletions = skus.map((sku) => deletion(sku, message()))
        counts.batches += 1
        for (let reported = false; !reported; ) {
          try {
            const outcomes = kind === 'create' ? await inventory.create(creations) : await inventory.delete(deletions)
            counts.created += outcomes.filter((each) => each.kind === 'created').length
            counts.deleted += outcomes.filter((each) => each.kind === 'deleted').length
            reported = true
          } catch (error) {
            expect(error).toMatchObject({ transient: true })
            counts.failed += 1
          }
        }
      }
      await own.close()
    }
    const replicas = Array.from({ length: REPLICAS }, () => [replica('create'), replica('delete')]).flat()
    await Promise.all(replicas)
    const found = (await deadlocks()) - before
    const { items } = await inventoryIn(database).page({ after: 0, limit: 1_000 })
    expect(items.length).toBe(counts.created - counts.deleted)
    expect(counts.failed).toBe(0)
    expect(found / counts.batches).toBeLessThan(0.2)
  })

  it.each([20, 90])('delete %d of 100 rows while another transaction locks one of the other rows', async (rows) => {
    const skus = Array.from({ length: 100 }, (_, n) => `s${n}`)
    await inventoryIn(database).create(skus.map((sku) => creation({ sku })))
    await mysql.sql('ANALYZE TABLE inventory')
    const outcomes = await database.transaction(async (sql) => {
      await sql("SELECT id FROM inventory FORCE INDEX (sku) WHERE sku = 's99' FOR UPDATE")
      return await inventoryIn(database).delete(skus.slice(0, rows).map((sku) => deletion(sku)))
    })
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['deleted']))
  })

  it('never refuse a message as a duplicate of itself when two of them apply it at the same time', async () => {
    const replicas = await Promise.all([1, 2].map(() => openDatabase(mysql.config, serviceUnderTest())))
    const inventories = replicas.map(inventoryIn)
    await inventoryIn(database).create([creation({ sku: 'taken' })])
    const kinds = new Map<string, number>()
    for (let round = 0; round < 60; round += 1) {
      const batch = Array.from({ length: 10 }, (_, n) =>
        creation({ sku: `r${round}-${n}` }, { messageId: `r${round}-${n}` }),
      )
      // With a duplicate in the batch, both replicas look up what is stored before they insert.
      const commands = [...batch, creation({ sku: 'taken' }, { messageId: `dup${round}` })]
      const reported = await Promise.all(inventories.map((inventory) => inventory.create(commands)))
      for (const outcome of reported.flatMap((outcomes) => outcomes.slice(0, batch.length))) {
        const kind = outcome.kind === 'created' && outcome.repeated ? 'repeated' : outcome.kind
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
      }
      expect(new Set(reported.map((outcomes) => JSON.stringify(outcomes.at(-1)))).size).toBe(1)
    }
    expect(Object.fromEntries(kinds)).toEqual({ created: 600, repeated: 600 })
    for (const replica of replicas) await replica.close()
  })

  it('refuse one of two messages with the same id and different bodies as message-id-reused', async () => {
    const replicas = await Promise.all([1, 2].map(() => openDatabase(mysql.config, serviceUnderTest())))
    const inventories = replicas.map(inventoryIn)
    await inventoryIn(database).create([creation({ sku: 'taken' })])
    for (let round = 0; round < 60; round += 1) {
      const reported = await Promise.all(
        inventories.map((inventory, n) =>
          inventory.create([
            creation({ sku: `two${round}`, name: `body ${n}` }, { messageId: `two${round}` }),
            creation({ sku: 'taken' }, { messageId: `dup${round}-${n}` }),
          ]),
        ),
      )
      expect(reported.map(([first]) => first?.kind).sort()).toEqual(['created', 'message-id-reused'])
    }
    for (const replica of replicas) await replica.close()
  })

  it('get the locks of a replica that is frozen inside its transaction within 18 seconds', async () => {
    const frozen = await openDatabase(mysql.config, serviceUnderTest())
    const command = creation({ sku: 'locked' }, { messageId: 'm' })
    const stuck = frozen
      .transaction(async (sql) => {
        await sql("INSERT INTO inventory (sku) VALUES ('locked')")
        await new Promise((resolve) => setTimeout(resolve, 20_000))
        await sql('SELECT 1')
      })
      .catch((error) => error)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const since = performance.now()
    let outcomes: unknown
    while (outcomes === undefined)
      outcomes = await inventoryIn(database)
        .create([command])
        .catch(() => undefined)
    expect(outcomes).toEqual([{ kind: 'created', repeated: false }])
    expect(performance.now() - since).toBeLessThan(18_000)
    expect(await stuck).toMatchObject({ transient: true })
    await frozen.close()
  })
})
