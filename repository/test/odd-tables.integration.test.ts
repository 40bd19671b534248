// Unusual tables that others created: `migrate` accepts them, or reports why it cannot before it changes anything.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { MigrationRefused, migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const python = ({ more = '', price = 'FLOAT', quantity = 'INT' } = {}) =>
  `CREATE TABLE inventory (id INT NOT NULL AUTO_INCREMENT, sku VARCHAR(20), name VARCHAR(100), label VARCHAR(50),
     price ${price}, quantity ${quantity}, PRIMARY KEY (id), UNIQUE KEY sku (sku)${more}) ENGINE=InnoDB CHARSET=utf8mb4`

describe('an unusual table', () => {
  let mysql: MysqlUnderTest
  beforeEach(async () => {
    mysql = await mysqlUnderTest('odd_tables')
  })
  afterEach(async () => {
    await mysql.drop()
  })
  const shape = async () => JSON.stringify(await mysql.sql('SHOW CREATE TABLE inventory'))

  const accepted: readonly [string, readonly string[]][] = [
    [
      'column names in upper case',
      [python().replace('price FLOAT', 'PRICE FLOAT').replace('sku VARCHAR', 'SKU VARCHAR')],
    ],
    [
      'a quantity that a JavaScript number cannot represent',
      [
        python({ price: 'DECIMAL(15,4)', quantity: 'BIGINT' }),
        "INSERT INTO inventory (sku, price, quantity) VALUES ('big', 1, 9007199254740993)",
      ],
    ],
    [
      'a price that a JavaScript number cannot represent',
      [
        python({ price: 'DECIMAL(40,10)' }),
        "INSERT INTO inventory (sku, price) VALUES ('wide', 123456789012345678901234567890.1234567891)",
      ],
    ],
  ]
  it.each(accepted)('is accepted: %s', async (_, statements) => {
    for (const statement of statements) await mysql.sql(statement)
    await migrate(mysql.config, serviceUnderTest().log)
    const database = await openDatabase(mysql.config, serviceUnderTest())
    const inventory = inventoryIn(database)
    const created = await inventory.create([creation({ sku: 'x', price: 1.2345 }), creation({ sku: 'x' })])
    const page = await inventory.page({ after: 0, limit: 10 })
    const deleted = await inventory.delete([deletion('x')])
    await database.close()
    expect(created).toMatchObject([{ kind: 'created' }, { kind: 'duplicate-sku' }])
    expect(page.items.at(-1)).toMatchObject({ sku: 'x', price: 1.2345 })
    expect(deleted).toMatchObject([{ kind: 'deleted' }])
  })

  const refused: readonly [string, readonly string[], RegExp][] = [
    [
      'a foreign key to sku',
      [
        python(),
        'CREATE TABLE orders (s VARCHAR(20), FOREIGN KEY (s) REFERENCES inventory (sku)) ENGINE=InnoDB CHARSET=utf8mb4',
      ],
      /foreign keys.*orders\.s/,
    ],
    [
      'a foreign key on label',
      [
        'CREATE TABLE labels (l VARCHAR(50) PRIMARY KEY) ENGINE=InnoDB CHARSET=utf8mb4',
        python({ more: ', FOREIGN KEY (label) REFERENCES labels (l)' }),
      ],
      /foreign keys.*inventory\.label/,
    ],
    ['a key on label and price', [python({ more: ', KEY p (label, price)' })], /keys.*price.*: p/],
    ['a CHECK on the price', [python({ more: ', CONSTRAINT positive CHECK (price >= 0)' })], /CHECK.*positive/],
    ['a CHECK in the column price', [python({ price: 'FLOAT CHECK (price >= 0)' })], /CHECK.*price/],
    [
      'a CHECK on the price and another column',
      [python({ more: ', CONSTRAINT both_ok CHECK (price >= 0 OR quantity > 0)' })],
      /CHECK.*both_ok/,
    ],
    [
      'partitions',
      [python().replace(', UNIQUE KEY sku (sku)', '').concat(' PARTITION BY HASH (id) PARTITIONS 2')],
      /REMOVE PARTITIONING/,
    ],
  ]
  it.each(refused)('is rejected before anything is changed: %s', async (_, statements, problem) => {
    for (const statement of statements) await mysql.sql(statement)
    const before = await shape()
    const error: unknown = await migrate(mysql.config, serviceUnderTest().log).catch((failure) => failure)
    expect(error).toBeInstanceOf(MigrationRefused)
    expect(String(error)).toMatch(problem)
    expect(await shape()).toBe(before)
  })

  // MariaDB converts such a column. MySQL refuses to, only when the prices are already copied.
  it.each([
    ['a generated column', ', twice DOUBLE AS (price * 2)'],
    ['a default', ', twice DOUBLE DEFAULT (price * 2)'],
  ])('keeps no column of the conversion if %s uses the price, and is converted or rejected', async (_, more) => {
    await mysql.sql(python({ more }))
    const error: unknown = await migrate(mysql.config, serviceUnderTest().log).then(
      () => undefined,
      (failure) => failure,
    )
    if (error !== undefined) expect(error).toBeInstanceOf(MigrationRefused)
    expect(await shape()).not.toContain('price_as_shown')
    expect((await shape()).includes('decimal(15,4)')).toBe(error === undefined)
  })
})
