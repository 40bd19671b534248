// An adopted table can contain rows that only the Python suite could store. Batches with duplicates use up few ids.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import type { Inventory } from '../src/contract.ts'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const ids = z.tuple([z.object({ id: z.coerce.number() })])

describe('the inventory in a table with rows of the Python suite', () => {
  let mysql: MysqlUnderTest
  let database: Database
  let inventory: Inventory
  beforeAll(async () => {
    mysql = await mysqlUnderTest('adopted_rows')
    await migrate(mysql.config, serviceUnderTest().log)
    database = await openDatabase(mysql.config, serviceUnderTest())
  })
  beforeEach(async () => {
    await mysql.sql('DELETE FROM inventory')
    await mysql.sql('DELETE FROM inbox')
    inventory = inventoryIn(database)
  })
  afterAll(async () => {
    await database.close()
    await mysql.drop()
  })
  const listed = async () => (await inventory.page({ after: 0, limit: 100 })).items

  it.each(['SKU-7 ', ' SKU-8', '', 'SKU\t1', '\u0000', "'\\%_", 'x'.repeat(20), '😀'.repeat(20)])(
    'finds and deletes the row with sku %j, and no other',
    async (sku) => {
      await mysql.sql('INSERT INTO inventory (sku) VALUES (?), (?), (NULL)', [sku, 'SKU-7'])
      expect((await inventory.page({ after: 0, limit: 100, sku })).items).toMatchObject([{ sku }])
      expect(await inventory.delete([deletion(sku)])).toEqual([{ kind: 'deleted', repeated: false }])
      expect((await listed()).map((item) => item.sku)).toEqual(['SKU-7', null])
    },
  )

  it('deletes all rows without a sku for one message, and only once', async () => {
    await mysql.sql("INSERT INTO inventory (sku, name) VALUES (NULL, 'a'), ('kept', 'b'), (NULL, 'c')")
    const command = { ...deletion(''), body: { sku: null }, messageId: 'm', fingerprint: 'null' }
    const other = { ...command, messageId: 'n' }
    expect(await inventory.delete([command, other])).toEqual([
      { kind: 'deleted', repeated: false },
      { kind: 'unknown-sku', repeated: false },
    ])
    expect(await inventory.delete([command])).toEqual([{ kind: 'deleted', repeated: true }])
    expect((await listed()).map((item) => item.sku)).toEqual(['kept'])
  })

  it('deletes an item and another one that a foreign key deletes with it, in one batch', async () => {
    await mysql.sql('ALTER TABLE inventory ADD parent INT')
    await mysql.sql(
      'ALTER TABLE inventory ADD CONSTRAINT within FOREIGN KEY (parent) REFERENCES inventory (id) ON DELETE CASCADE',
    )
    await mysql.sql("INSERT INTO inventory (sku) VALUES ('set'), ('other')")
    await mysql.sql("INSERT INTO inventory (sku, parent) SELECT 'part', id FROM inventory WHERE sku = 'set'")
    const outcomes = await inventory.delete(['other', 'set', 'part'].map((sku) => deletion(sku)))
    const left = await listed()
    await mysql.sql('ALTER TABLE inventory DROP FOREIGN KEY within, DROP COLUMN parent')
    expect(outcomes.map(({ kind }) => kind)).toEqual(['deleted', 'deleted', 'deleted'])
    expect(left).toEqual([])
  })

  it('deletes none of the rows without a sku when a foreign key protects one of them', async () => {
    await mysql.sql('INSERT INTO inventory (sku) VALUES (NULL), (NULL), (NULL)')
    await mysql.sql('CREATE TABLE orders AS SELECT id AS item FROM inventory ORDER BY id LIMIT 1, 1')
    await mysql.sql('ALTER TABLE orders ADD FOREIGN KEY (item) REFERENCES inventory (id)')
    const command = { ...deletion(''), body: { sku: null }, messageId: 'm', fingerprint: 'null' }
    const outcomes = await inventory.delete([command])
    const left = await listed()
    await mysql.sql('DROP TABLE orders')
    expect(outcomes).toEqual([{ kind: 'rejected-by-database', error: expect.stringMatching(/foreign key/) }])
    expect(left).toHaveLength(3)
    expect(await inventory.delete([{ ...command, redrives: 1 }])).toEqual([{ kind: 'deleted', repeated: false }])
  })

  it('does not treat a row of NULLs as equal to an item with the text "null" and the number 0', async () => {
    await mysql.sql("INSERT INTO inventory (sku) VALUES ('k1')")
    const item = creation({ sku: 'k1', name: 'null', label: 'null', price: 0, quantity: 0 }, { redelivered: true })
    expect(await inventory.create([item])).toMatchObject([{ kind: 'duplicate-sku' }])
  })

  it('uses up few ids when every batch has a duplicate', async () => {
    await inventory.create([creation({ sku: 'taken' })])
    const nextId = async () => {
      await inventory.create([creation({ sku: `probe${Math.random()}`.slice(0, 20) })])
      return ids.parse(await mysql.sql('SELECT MAX(id) AS id FROM inventory'))[0].id
    }
    const before = await nextId()
    const batches = 40
    for (let n = 0; n < batches; n += 1) {
      const good = Array.from({ length: 19 }, (_, m) => creation({ sku: `s${n}-${m}` }))
      await inventory.create([...good, creation({ sku: 'taken' })])
    }
    // Without the lookup, a batch uses up one more id for each of its rows.
    expect((await nextId()) - before).toBeLessThan(batches * 19 * 1.2)
  })
})
