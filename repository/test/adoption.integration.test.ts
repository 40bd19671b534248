// `migrate` on existing tables: it fixes what is safe to fix and reports the rest. Services check the tables at startup.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { startTcpProxy } from 'testkit'
import { z } from 'zod'
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { type ServiceUnderTest, serviceUnderTest } from './service.ts'

/** The table that the Python suite creates, with parts replaced or added. */
function pythonTable({
  columns = {},
  keys = ['UNIQUE KEY sku (sku)'],
  primary = 'PRIMARY KEY (id)',
  options = '',
} = {}) {
  const all: Record<string, string> = {
    id: 'int(11) NOT NULL AUTO_INCREMENT',
    sku: 'varchar(20) DEFAULT NULL',
    name: 'varchar(100) DEFAULT NULL',
    label: 'varchar(50) DEFAULT NULL',
    price: 'float DEFAULT NULL',
    quantity: 'int(11) DEFAULT NULL',
    ...columns,
  }
  const parts = Object.entries(all).flatMap(([name, type]) => (type === '' ? [] : [`${name} ${type}`]))
  return `CREATE TABLE inventory (${[...parts, primary, ...keys].filter(Boolean).join(', ')}) ${options || 'ENGINE=InnoDB DEFAULT CHARSET=latin1'}`
}

const inbox = ({ columns = '', primary = 'PRIMARY KEY (queue, message_id)', engine = 'InnoDB' } = {}) =>
  `CREATE TABLE inbox (${
    columns ||
    `queue VARCHAR(64) NOT NULL, message_id VARBINARY(1020) NOT NULL, fingerprint VARCHAR(64) NOT NULL,
     outcome VARCHAR(32) NOT NULL, applied_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)`
  }, ${primary}) ENGINE=${engine} DEFAULT CHARSET=ascii`

const created = (repeated = false) => ({ kind: 'created', repeated })

describe('migrate on an existing table', () => {
  let service: ServiceUnderTest
  let mysql: MysqlUnderTest

  beforeAll(async () => {
    mysql = await mysqlUnderTest('adoption', { MYSQL_RETRY_MOST_MS: '50' })
  })
  afterAll(async () => {
    await mysql.drop()
  })
  beforeEach(async () => {
    service = serviceUnderTest()
    await mysql.sql('DROP VIEW IF EXISTS inventory')
    await mysql.sql('DROP TABLE IF EXISTS orders, stock, Inventory, inventory, inbox, movement, migrations')
  })

  const definitionOf = async (table: 'inventory' | 'inbox') => {
    const [row] = z.array(z.record(z.string(), z.string())).parse(await mysql.sql(`SHOW CREATE TABLE ${table}`))
    return Object.values(row ?? {}).join('\n')
  }
  const run = () => migrate(mysql.config, service.log)
  const hasAria = async () =>
    z.array(z.unknown()).parse(await mysql.sql("SELECT 1 FROM information_schema.engines WHERE engine = 'Aria'"))
      .length > 0

  /** Checks that a batch with a duplicate stores its other items, and that skus are compared byte for byte. */
  const expectItWorks = async () => {
    const database = await openDatabase(mysql.config, service)
    const inventory = inventoryIn(database)
    const long = 's'.repeat(20)
    const fresh = {
      sku: long,
      name: 'n'.repeat(100),
      label: 'l'.repeat(50),
      price: 99_999_999_999.1235,
      quantity: 2_147_483_647,
    }
    await inventory.create([creation({ sku: 'a' }, { messageId: 'm'.repeat(255) })])
    expect(
      await inventory.create([creation({ sku: 'A' }), creation({ sku: 'a', name: 'other' }), creation(fresh)]),
    ).toEqual([created(), { kind: 'duplicate-sku', error: expect.stringContaining('"a"') }, created()])
    const page = await inventory.page({ after: 0, limit: 100, sku: long })
    expect(page.items).toEqual([fresh])
    expect(await inventory.delete([deletion('a'), deletion('A'), deletion('a')])).toMatchObject([
      { kind: 'deleted' },
      { kind: 'deleted' },
      { kind: 'unknown-sku' },
    ])
    await database.close()
  }

  it.each([
    ['engine MyISAM', { options: 'ENGINE=MyISAM ROW_FORMAT=FIXED' }, 'its engine is MyISAM'],
    ['engine Aria', { options: 'ENGINE=Aria TRANSACTIONAL=1' }, 'its engine is Aria'],
    ['a missing key on sku', { keys: [] }, 'the unique key sku on exactly (sku) is missing'],
    ['a key on sku that is not unique', { keys: ['KEY sku (sku)'] }, 'is not unique on (sku) instead'],
    ['a key on the beginning of sku', { keys: ['UNIQUE KEY sku (sku(10))'] }, 'is on (the beginning of sku) instead'],
    [
      'a key on the beginning of sku, with another name',
      { keys: ['UNIQUE KEY early (sku(10))'] },
      'the unique key early is on (the beginning of sku)',
    ],
    ['a key on two columns', { keys: ['UNIQUE KEY sku (sku, label)'] }, 'is on (sku, label) instead'],
    ['a key with another name', { keys: ['UNIQUE KEY `ix_inventory``sku` (sku)'] }, 'is called ix_inventory`sku'],
    [
      'a key with another name, while another key is called sku',
      { keys: ['UNIQUE KEY u (sku)', 'KEY sku (label)'] },
      'is called u',
    ],
    ['DECIMAL(10,2)', { columns: { price: 'decimal(10,2)' } }, 'the column price is decimal(10,2)'],
    [
      'DECIMAL(12,6) UNSIGNED',
      { columns: { price: 'decimal(12,6) unsigned' } },
      'the column price is decimal(12,6) unsigned',
    ],
    [
      'narrow text',
      { columns: { sku: 'varchar(10)', name: 'char(20)', label: 'tinytext' } },
      'the column name is char(20)',
    ],
    ['a small quantity', { columns: { quantity: 'smallint' } }, 'the column quantity is smallint'],
    ['an unsigned quantity', { columns: { quantity: 'int unsigned' } }, 'the column quantity is int'],
    ['a small id', { columns: { id: 'mediumint NOT NULL AUTO_INCREMENT' } }, 'the column id is mediumint'],
    ['an id without AUTO_INCREMENT', { columns: { id: 'int NOT NULL' } }, 'the column id is int'],
  ])('fixes %s, logs it, and keeps the rows', async (what, parts, problem) => {
    if (what.includes('Aria') && !(await hasAria())) return
    await mysql.sql(pythonTable(parts))
    await mysql.sql("INSERT INTO inventory (id, sku, name, label, price, quantity) VALUES (7, 'old', 'n', 'l', 1.5, 3)")
    await run()
    expect(service.lines.filter((line) => line.startsWith('fixed the table inventory')).join()).toContain(problem)
    expect(await definitionOf('inventory')).toMatch(
      /UNIQUE KEY `sku` \(`sku`\),\s+KEY `label_id` \(`label`(\(50\))?,`id`\)\s+\) ENGINE=InnoDB/,
    )
    expect(await mysql.sql('SELECT id, sku, name, label, price + 0e0 AS price, quantity FROM inventory')).toEqual([
      { id: 7, sku: 'old', name: 'n', label: 'l', price: 1.5, quantity: 3 },
    ])
    await expectItWorks()
    service.lines.length = 0
    expect(await run()).toEqual({ applied: [] })
    expect(service.lines).toEqual(['schema is up to date'])
  })

  it.each([
    [
      'wider columns',
      { columns: { sku: 'varchar(40)', name: 'longtext', price: 'decimal(20,6)', quantity: 'bigint' } },
    ],
    ['NOT NULL columns', { columns: { sku: 'varchar(20) NOT NULL', label: 'varchar(50) NOT NULL' } }],
    [
      'other columns',
      {
        columns: {
          note: 'longtext',
          seen: "datetime NOT NULL DEFAULT '2020-01-01'",
          twice: 'bigint AS (quantity * 2)',
        },
      },
    ],
    ['a wider unique key', { keys: ['UNIQUE KEY sku (sku)', 'UNIQUE KEY two (label, sku)'] }],
  ])('does not change %s', async (_, parts) => {
    await mysql.sql(pythonTable(parts))
    await run()
    expect(service.lines.filter((line) => line.startsWith('fixed'))).toEqual([])
    const table = await definitionOf('inventory')
    for (const [name, type] of Object.entries('columns' in parts ? parts.columns : {}))
      expect(table).toMatch(new RegExp(`\`${name}\` ${type.split(' ')[0]?.replace(/[()]/g, '\\$&')}`, 'i'))
    await expectItWorks()
  })

  it.each([
    ['a missing column', { columns: { label: '' } }, 'the column label is missing (VARCHAR(50)'],
    [
      'an additional NOT NULL column without a default',
      { columns: { owner: 'int NOT NULL' } },
      'the column owner (int',
    ],
    ['a generated column', { columns: { quantity: 'int AS (1)' } }, 'the column quantity is generated'],
    ['an id of text', { columns: { id: 'varchar(36) NOT NULL' } }, 'the column id is varchar(36)'],
    ['a price of text', { columns: { price: 'varchar(20)' } }, 'the column price is varchar(20)'],
    ['a sku of bytes', { columns: { sku: 'varbinary(20)' } }, 'the column sku is varbinary(20)'],
    [
      'another primary key',
      { columns: { sku: 'varchar(20) NOT NULL' }, primary: 'PRIMARY KEY (sku), KEY (id)' },
      'its primary key is on (sku), and must be (id)',
    ],
    ['a missing primary key', { primary: 'KEY (id)' }, 'its primary key is missing'],
    [
      'a unique key on names',
      { keys: ['UNIQUE KEY sku (sku)', 'UNIQUE KEY one (name)'] },
      'the unique key one is on (name)',
    ],
    ['an unknown engine', { options: 'ENGINE=MEMORY' }, 'its engine is MEMORY'],
  ])('reports %s, and changes nothing', async (_, parts, problem) => {
    await mysql.sql(pythonTable(parts))
    const before = await definitionOf('inventory')
    await expect(run()).rejects.toMatchObject({ name: 'MigrationRefused', message: expect.stringContaining(problem) })
    expect(await definitionOf('inventory')).toBe(before)
    expect(await mysql.sql('SHOW TABLES')).toHaveLength(1)
  })

  it('reports a view', async () => {
    await mysql.sql(pythonTable().replace('inventory', 'stock'))
    await mysql.sql('CREATE VIEW inventory AS SELECT * FROM stock')
    await expect(run()).rejects.toThrow('inventory: it is a view, and must be a table')
  })

  it('reports all problems at once', async () => {
    await mysql.sql(pythonTable({ columns: { label: '', owner: 'int NOT NULL' }, keys: [] }))
    await mysql.sql(
      "INSERT INTO inventory (id, sku, price, owner) VALUES (1, 'a', 3e38, 1), (2, 'a', 1, 1), (-3, 'b', 1, 1)",
    )
    await mysql.sql(inbox({ primary: 'PRIMARY KEY (message_id)' }))
    const problem = await run().then(String, String)
    for (const each of [
      'the column label is missing',
      'the column owner (int',
      'give these rows other ids: -3',
      'id 1 (sku "a"): 3e',
      '1 skus are stored more than once; keep one row of each: "a" (2 rows)',
      'inbox: its primary key is on (message_id), and must be (queue, message_id)',
    ])
      expect(problem).toContain(each)
  })

  it('lists up to 20 duplicate skus, and reports how many there are', async () => {
    await mysql.sql(pythonTable({ keys: [] }))
    const values = Array.from(
      { length: 25 },
      (_, n) => `('d${String(n).padStart(2, '0')}'), ('d${String(n).padStart(2, '0')}')`,
    )
    await mysql.sql(`INSERT INTO inventory (sku) VALUES ${values.join(', ')}, (NULL), (NULL), ('once')`)
    const problem = await run().then(String, String)
    expect(problem).toContain('25 skus are stored more than once; keep one row of each: "d00" (2 rows)')
    expect(problem).toMatch(/"d19" \(2 rows\), and 5 more;/)
    expect(await definitionOf('inventory')).toContain('float')
  })

  it('keeps skus that differ only in case, an accent or a trailing blank', async () => {
    await mysql.sql(pythonTable({ keys: [] }))
    await mysql.sql("INSERT INTO inventory (sku) VALUES ('e'), ('E'), ('é'), ('e ')")
    await run()
    expect(await mysql.sql('SELECT sku FROM inventory ORDER BY id')).toEqual(
      ['e', 'E', 'é', 'e '].map((sku) => ({ sku })),
    )
  })

  it('reports foreign keys that refer to an id whose type must change', async () => {
    await mysql.sql(pythonTable({ columns: { id: 'mediumint NOT NULL AUTO_INCREMENT' } }))
    await mysql.sql('CREATE TABLE orders (item mediumint, FOREIGN KEY (item) REFERENCES inventory (id))')
    await expect(run()).rejects.toThrow(/foreign keys refer to the column id, .*\.orders/)
  })

  it.each([
    ['MyISAM', inbox({ engine: 'MyISAM', columns: '' }).replace('1020', '900'), 'its engine is MyISAM'],
    [
      'narrow columns',
      inbox({
        columns:
          'queue VARCHAR(20) NOT NULL, message_id VARBINARY(36) NOT NULL, fingerprint VARCHAR(32), outcome VARCHAR(8), applied_at DATETIME',
      }),
      'the column message_id is varbinary(36)',
    ],
  ])('fixes an existing inbox: %s', async (_, table, problem) => {
    await mysql.sql(table)
    await run()
    expect(service.lines.join()).toContain(`fixed the table inbox: ${problem}`)
    const text = await definitionOf('inbox')
    for (const part of ['ENGINE=InnoDB', 'varbinary(1020)', 'KEY `applied_at` (`applied_at`)'])
      expect(text).toContain(part)
    await expectItWorks()
    expect(
      await mysql.sql('SELECT COUNT(*) + 0e0 AS n FROM inbox WHERE applied_at > UTC_TIMESTAMP() - INTERVAL 1 DAY'),
    ).toEqual([{ n: 1 }])
  })

  it.each([
    [
      'ids as text',
      'queue VARCHAR(64), message_id VARCHAR(255), fingerprint VARCHAR(64), outcome VARCHAR(32), applied_at DATETIME(3)',
      'the column message_id is varchar(255)',
    ],
    [
      'no column outcome',
      'queue VARCHAR(64), message_id VARBINARY(1020), fingerprint VARCHAR(64), applied_at DATETIME(3)',
      'the column outcome is missing',
    ],
  ])('reports an existing inbox that it cannot fix: %s', async (_, columns, problem) => {
    await mysql.sql(inbox({ columns }))
    await expect(run()).rejects.toThrow(`inbox: ${problem}`)
  })

  it('fixes a table that was changed after its migration', async () => {
    await run()
    await mysql.sql(
      'ALTER TABLE inventory DROP INDEX sku, MODIFY price float, MODIFY name varchar(10) CHARACTER SET latin1',
    )
    await run()
    await expectItWorks()
  })

  it('reports duplicates that are stored between its check and the creation of the key', async () => {
    await mysql.sql(pythonTable({ keys: [] }))
    const proxy = await startTcpProxy(mysql.server)
    const held = proxy.holdAnswerTo('CONVERT TO CHARACTER SET')
    const running = migrate(through(mysql.config, proxy.port), service.log).then(String, String)
    await held.answered
    await mysql.sql("INSERT INTO inventory (sku) VALUES ('late'), ('late')")
    held.release()
    expect(await running).toMatch(/MigrationRefused: .*1 skus are stored more than once.*"late" \(2 rows\);/)
    await proxy.close()
  })

  it('reports a table that was dropped after its migration', async () => {
    await run()
    await mysql.sql('DROP TABLE inbox')
    await expect(run()).rejects.toThrow('inbox: the table is missing although its migration is recorded')
  })

  it.each(['int', 'bigint', 'int unsigned', 'bigint unsigned'])('does not change ids of type %s', async (type) => {
    await mysql.sql(pythonTable({ columns: { id: `${type} NOT NULL AUTO_INCREMENT` } }))
    await mysql.sql("INSERT INTO inventory (id, sku) VALUES (41, 'last')")
    await mysql.sql('DELETE FROM inventory')
    await run()
    expect((await definitionOf('inventory')).replace(/(int)\(\d+\)/, '$1')).toContain(
      `\`id\` ${type} NOT NULL AUTO_INCREMENT`,
    )
    await mysql.sql("INSERT INTO inventory (sku) VALUES ('next')")
    expect(await mysql.sql('SELECT id FROM inventory')).toEqual([{ id: 42 }])
    await expectItWorks()
  })

  it('accepts ids up to the largest safe integer, and reports larger ones', async () => {
    await mysql.sql(pythonTable({ columns: { id: 'bigint unsigned NOT NULL AUTO_INCREMENT' } }))
    await run()
    const { MAX_SAFE_INTEGER } = Number
    await mysql.sql(`INSERT INTO inventory (id, sku) VALUES (${MAX_SAFE_INTEGER - 1}, 'x'), (${MAX_SAFE_INTEGER}, 'y')`)
    const database = await openDatabase(mysql.config, service)
    const inventory = inventoryIn(database)
    const first = await inventory.page({ after: 0, limit: 1 })
    expect(first).toMatchObject({ items: [{ sku: 'x' }], next: MAX_SAFE_INTEGER - 1 })
    expect(await inventory.page({ after: first.next, limit: 1 })).toMatchObject({ items: [{ sku: 'y' }], next: 0 })
    expect(await inventory.delete([deletion('y')])).toMatchObject([{ kind: 'deleted' }])
    await database.close()
    await mysql.sql("INSERT INTO inventory (id, sku) VALUES (9007199254740993, 'z')")
    await expect(run()).rejects.toThrow('give these rows other ids: 9007199254740993')
  })

  it('logs how many prices it rounded, and how many skus create_item would refuse', async () => {
    await mysql.sql(pythonTable({ columns: { price: 'double' } }))
    await mysql.sql(
      `INSERT INTO inventory (sku, price) VALUES ('fine', 19.99), ('FINE TOO', 0.1e0 + 0.2e0), ('third', 10e0/3),
         (' before', 1), ('after ', 1e-7), ('tab\\t1', 0.12345), ('', 1), (NULL, NULL), (CONVERT(0xC2A0 USING utf8mb4), 1)`,
    )
    await run()
    expect(service.lines).toContain('rounded 4 prices of the table inventory to 4 decimals')
    expect(service.lines.find((line) => line.includes('create_item refuses'))).toMatch(/^6 rows/)
    expect(await mysql.sql("SELECT price FROM inventory WHERE sku = 'third'")).toEqual([{ price: '3.3333' }])
  })

  it('corrects a wrong schema that a starting service has reported, and the service then starts', async () => {
    await run()
    await mysql.sql('ALTER TABLE inventory DROP INDEX sku, ADD KEY sku (sku)')
    await mysql.sql('ALTER TABLE inbox MODIFY message_id VARBINARY(36)')
    await mysql.sql('CREATE TABLE Inventory (of_somebody_else int)')
    const opening = openDatabase(mysql.config, service)
    while (!service.lines.some((line) => line.startsWith('waiting for the schema to be corrected')))
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(service.lines.at(-1)).toContain(
      'inventory: the unique key sku on exactly (sku) is not unique on (sku) instead; inbox: the column message_id is varbinary(36)',
    )
    await run()
    await (await opening).close()
  })
})
