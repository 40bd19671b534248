// A row that MySQL refuses does not affect the other messages of its batch, even if others have added triggers, keys or columns.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Servers, serversUnderTest } from 'testkit'
import type { Inventory } from '../src/contract.ts'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

describe('a row that the database refuses', () => {
  let mysql: MysqlUnderTest
  let root: Servers['mysql']
  let database: Database
  let inventory: Inventory
  let schema: string

  beforeAll(async () => {
    const { servers } = await serversUnderTest('poison_rows_root')
    root = servers.mysql
    mysql = await mysqlUnderTest('poison_rows')
    schema = `\`${mysql.config.database}\``
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

  const trigger = (when: string, body: string) =>
    root.sql(
      `DELIMITER //\nCREATE TRIGGER ${schema}.guard ${when} ON ${schema}.inventory FOR EACH ROW ${body}//\nDELIMITER ;`,
    )
  const created = { kind: 'created', repeated: false }
  const refused = (pattern: RegExp) => ({ kind: 'rejected-by-database', error: expect.stringMatching(pattern) })

  it.each(["column 'id'", "for key 'sku'", "for key 'x'", "PRIMARY'", 'no at row 1'])(
    'is reported as a duplicate sku, even if the sku looks like part of an error message: %s',
    async (sku) => {
      await inventory.create([creation({ sku }, { messageId: 'm1' })])
      expect(
        await inventory.create([
          creation({ sku: 'a' }, { messageId: 'm2' }),
          creation({ sku }, { messageId: 'm3' }),
          creation({ sku: 'b' }, { messageId: 'm4' }),
        ]),
      ).toEqual([created, { kind: 'duplicate-sku', error: expect.any(String) }, created])
    },
  )

  it.each(['23000', '42000', 'HY000', '45001', '22003'])('is refused by a trigger that signals %s', async (state) => {
    await inventory.create([creation({ sku: 'kept', label: 'bad' })])
    const signal = `SIGNAL SQLSTATE '${state}' SET MESSAGE_TEXT = 'no such label'`
    await trigger('BEFORE INSERT', `IF NEW.label = 'bad' THEN ${signal}; END IF`)
    const outcomes = await inventory
      .create([creation({ sku: 'a' }), creation({ sku: 'b', label: 'bad' })])
      .finally(() => root.sql(`DROP TRIGGER ${schema}.guard`))
    await trigger('BEFORE DELETE', `IF OLD.label = 'bad' THEN ${signal}; END IF`)
    const deleted = await inventory
      .delete([deletion('kept'), deletion('a')])
      .finally(() => root.sql(`DROP TRIGGER ${schema}.guard`))
    expect(outcomes).toEqual([created, refused(/no such label/)])
    expect(deleted).toEqual([refused(/no such label/), { kind: 'deleted', repeated: false }])
  })

  it.each(['sku VARCHAR(20) PRIMARY KEY', 'sku VARCHAR(20) UNIQUE', 'other VARCHAR(20) UNIQUE', 'id INT PRIMARY KEY'])(
    'is refused by the key of a table that a trigger writes to: %s',
    async (column) => {
      await root.sql(`CREATE TABLE ${schema}.audit (${column})`)
      const value = column.startsWith('id') ? 'NEW.quantity' : 'NEW.sku'
      await trigger('AFTER INSERT', `INSERT INTO ${schema}.audit VALUES (${value})`)
      try {
        await inventory.create([creation({ sku: 'again', quantity: 1 })])
        await inventory.delete([deletion('again')])
        expect(
          await inventory.create([
            creation({ sku: 'a', quantity: 2 }),
            creation({ sku: 'again', quantity: 1 }),
            creation({ sku: 'c', quantity: 3 }),
          ]),
        ).toEqual([created, refused(/Duplicate entry/), created])
      } finally {
        await root.sql(`DROP TRIGGER ${schema}.guard; DROP TABLE ${schema}.audit`)
      }
    },
  )

  it.each([
    ['unit DECIMAL(20,4) AS (price / quantity) STORED', /Division by 0/],
    ["day DATE AS (STR_TO_DATE(label, '%Y-%m-%d')) STORED", /Incorrect datetime value/],
    ['must INT AS (NULLIF(quantity, 0)) STORED CHECK (must IS NOT NULL)', /constraint/i],
  ])('is refused by a generated column: %s', async (column, error) => {
    await root.sql(`ALTER TABLE ${schema}.inventory ADD COLUMN ${column}`)
    const name = column.split(' ')[0]
    const good = { label: column.startsWith('day') ? '2024-01-01' : 'juice' }
    const bad = { label: 'bad', quantity: 0 }
    try {
      expect(
        await inventory.create([
          creation({ sku: 'a', ...good }),
          creation({ sku: 'b', ...bad }),
          creation({ sku: 'c', ...good }),
        ]),
      ).toEqual([created, refused(error), created])
    } finally {
      await root.sql(`ALTER TABLE ${schema}.inventory DROP COLUMN ${name}`)
    }
  })

  it.each([
    [
      "SET NEW.name = IF(NEW.label = 'bad', NULL, NEW.name)",
      'MODIFY name VARCHAR(100) NOT NULL',
      'MODIFY name VARCHAR(100) NULL',
    ],
  ])('is refused when a trigger violates NOT NULL', async (body, alter, back) => {
    await root.sql(`ALTER TABLE ${schema}.inventory ${alter}`)
    await trigger('BEFORE INSERT', body)
    try {
      expect(await inventory.create([creation({ sku: 'a' }), creation({ sku: 'b', label: 'bad' })])).toEqual([
        created,
        refused(/null/),
      ])
    } finally {
      await root.sql(`DROP TRIGGER ${schema}.guard; ALTER TABLE ${schema}.inventory ${back}`)
    }
  })
})
