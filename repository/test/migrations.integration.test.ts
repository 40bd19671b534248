// The migrations create the schema from nothing, and adopt a table that the Python suite created.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, startTcpProxy } from 'testkit'
import { z } from 'zod'
import { connectTo } from '../src/data-source.ts'
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const PYTHON_TABLE = `CREATE TABLE inventory (
  id int(11) NOT NULL AUTO_INCREMENT,
  sku varchar(20) DEFAULT NULL,
  name varchar(100) DEFAULT NULL,
  label varchar(50) DEFAULT NULL,
  price float DEFAULT NULL,
  quantity int(11) DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY sku (sku)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci`

/** Prices as the Python suite's listing displayed them, and as the adopted table stores them. */
const PRICES = [
  ['19.99', '19.9900'],
  ['25', '25.0000'],
  ['0.1', '0.1000'],
  ['1234567.89', '1234570.0000'],
  ['16777217', '16777200.0000'],
  ['12345678900', '12345700000.0000'],
  ['-5.5', '-5.5000'],
  ['1e-7', '0.0000'],
] as const

const ALL = [
  'CreateInventory1764000000001',
  'AdoptPythonInventory1764000000002',
  'CreateInbox1764000000003',
  'InboxError1764000000004',
  'IndexLabel1764000000005',
  'CreateMovement1764000000006',
]

describe('migrate with an error that waiting cannot fix', () => {
  it.each([
    ['a wrong password', { password: 'wrong' }, /^MySQL on \S+:\d+ does not let user .*: Access denied/],
    ['a database that does not exist', { database: 'ims_no_such_database' }, /Unknown database|Access denied/],
  ])('fails at once: %s', async (_, changes, message) => {
    const mysql = await mysqlUnderTest('migrate_refused')
    try {
      const { log, lines } = serviceUnderTest()
      await expect(migrate({ ...mysql.config, ...changes }, log)).rejects.toThrow(message)
      expect(lines).toEqual([])
    } finally {
      await mysql.drop()
    }
  })
})

describe('migrate', () => {
  const service = serviceUnderTest()
  let mysql: MysqlUnderTest

  beforeEach(async () => {
    mysql = await mysqlUnderTest('migrations')
  })
  afterEach(async () => {
    await mysql.drop()
  })

  const pythonTable = async () => {
    await mysql.sql(PYTHON_TABLE)
    const values = PRICES.map(([shown], n) => `('s${n}', 'café', 'x', ${shown}, ${n})`)
    await mysql.sql(`INSERT INTO inventory (sku, name, label, price, quantity) VALUES ${values.join(', ')}`)
    await mysql.sql(`INSERT INTO inventory (id) VALUES (100), (101)`)
  }
  const adoptedRows = [
    ...PRICES.map(([, price], n) => ({ id: n + 1, sku: `s${n}`, name: 'café', label: 'x', price, quantity: n })),
    { id: 100, sku: null, name: null, label: null, price: null, quantity: null },
    { id: 101, sku: null, name: null, label: null, price: null, quantity: null },
  ]
  const rows = () => mysql.sql('SELECT id, sku, name, label, price, quantity FROM inventory ORDER BY id')
  /** The columns, their types without the display width that only MariaDB reports for an INT, and whether text compares exactly. */
  const shape = async () => {
    const columns = z.array(z.object({ name: z.string(), type: z.string(), collation: z.string().nullable() })).parse(
      await mysql.sql(
        `SELECT column_name AS name, column_type AS type, collation_name AS collation FROM information_schema.columns
         WHERE table_schema = DATABASE() AND table_name = 'inventory' ORDER BY ordinal_position`,
      ),
    )
    return columns.map(({ name, type, collation }) =>
      [
        name,
        type.replace(/int\(\d+\)/, 'int'),
        ...(collation === null ? [] : [/^utf8mb4_(0900|nopad)_bin$/.test(collation)]),
      ].join(' '),
    )
  }
  const OURS = [
    'id int',
    'sku varchar(20) true',
    'name varchar(100) true',
    'label varchar(50) true',
    'price decimal(15,4)',
    'quantity int',
  ]

  it('runs all migrations on an empty database, and none the second time', async () => {
    expect(await migrate(mysql.config, service.log)).toEqual({ applied: ALL })
    expect(await shape()).toEqual(OURS)
    expect(await migrate(mysql.config, service.log)).toEqual({ applied: [] })
  })

  it('adopts a table that Python created: keeps rows, ids and displayed prices, and makes text comparison exact', async () => {
    await pythonTable()
    await migrate(mysql.config, service.log)
    expect(await rows()).toEqual(adoptedRows)
    expect(await shape()).toEqual(OURS)
    const database = await openDatabase(mysql.config, service)
    expect(await inventoryIn(database).create([creation({ sku: 'S0' }), creation({ sku: '日本' })])).toEqual([
      { kind: 'created', repeated: false },
      { kind: 'created', repeated: false },
    ])
    expect((await inventoryIn(database).page({ after: 101, limit: 1 })).items).toMatchObject([{ sku: 'S0' }])
    await database.close()
  })

  it('keeps an adopted table usable by Python peers: their INSERT, SELECT and DELETE still work', async () => {
    await pythonTable()
    await migrate(mysql.config, service.log)
    await mysql.sql(
      "INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('peer', NULL, 'x', 19.99, 1), (NULL, 'n', 'x', 25.0, 1)",
    )
    expect(await mysql.sql("SELECT price FROM inventory WHERE sku = 'peer'")).toEqual([{ price: '19.9900' }])
    expect(await mysql.sql("DELETE FROM inventory WHERE sku = 'peer'")).toMatchObject({ affectedRows: 1 })
  })

  it('keeps the price of every row that a peer inserts while the table is being adopted', async () => {
    await pythonTable()
    let adopting = true
    const migrated = migrate(mysql.config, service.log).finally(() => {
      adopting = false
    })
    let inserted = 0
    while (adopting) {
      await mysql.sql(`INSERT INTO inventory (sku, price) VALUES ('peer${inserted}', 19.99)`)
      inserted += 1
    }
    await migrated
    expect(inserted).toBeGreaterThan(0)
    expect(
      await mysql.sql("SELECT CAST(COUNT(*) AS CHAR) AS n FROM inventory WHERE sku LIKE 'peer%' AND price = 19.99"),
    ).toEqual([{ n: String(inserted) }])
  })

  it('does not change the rows again when the record of the migrations is lost', async () => {
    await pythonTable()
    await migrate(mysql.config, service.log)
    await mysql.sql('DROP TABLE migrations')
    expect(await migrate(mysql.config, service.log)).toEqual({ applied: ALL })
    expect(await rows()).toEqual(adoptedRows)
  })

  it('runs the migrations in only one of five concurrent calls', async () => {
    await pythonTable()
    const results = await Promise.all(Array.from({ length: 5 }, () => migrate(mysql.config, service.log)))
    expect(results.map(({ applied }) => applied.length).sort()).toEqual([0, 0, 0, 0, ALL.length])
    expect(await rows()).toEqual(adoptedRows)
  })

  it('stops waiting for another migration after a timeout, and reports it', async () => {
    const { config } = mysql
    const holder = await connectTo(mysql.server, config, { statementTimeoutMs: undefined })
    const runner = holder.createQueryRunner()
    await runner.query('SELECT GET_LOCK(?, 0)', [`ims migration ${config.database}`.slice(0, 64)])
    await expect(migrate({ ...config, migrationTimeoutMs: 1_000 }, service.log)).rejects.toMatchObject({
      message: expect.stringContaining('another migration'),
      transient: true,
    })
    await runner.release()
    await holder.destroy()
  })

  it.each([
    ['CREATE TABLE', 1],
    ['CREATE TABLE', 2],
    ['CREATE TABLE', 3],
    ['ALTER TABLE', 1],
    ['ALTER TABLE', 2],
    ['ALTER TABLE', 3],
    ['ALTER TABLE', 4],
    ['ALTER TABLE', 5],
    ['ALTER TABLE', 6],
  ])('completes a migration that was interrupted after %s number %d', async (statement, nth) => {
    await pythonTable()
    const proxy = await startTcpProxy(mysql.server)
    proxy.loseAnswerTo(statement, nth)
    await expect(migrate(through(mysql.config, proxy.port), service.log)).rejects.toMatchObject({ transient: true })
    await proxy.close()
    await migrate(mysql.config, service.log)
    expect(await rows()).toEqual(adoptedRows)
    expect(await shape()).toEqual(OURS)
  })

  it('refuses prices beyond DECIMAL(15,4), names the rows, and changes nothing', async () => {
    await pythonTable()
    await mysql.sql("INSERT INTO inventory (id, sku, price) VALUES (200, 'dear', 3e38), (201, 'edge', 99999999999)")
    const before = await mysql.sql('SHOW CREATE TABLE inventory')
    await expect(migrate(mysql.config, service.log)).rejects.toMatchObject({
      name: 'MigrationRefused',
      message: expect.stringMatching(/id 200 \(sku "dear"\): 3e\+?38, id 201 \(sku "edge"\): 100000000000/),
    })
    expect(await mysql.sql('SHOW CREATE TABLE inventory')).toEqual(before)
    await mysql.sql('DELETE FROM inventory WHERE id IN (200, 201)')
    await migrate(mysql.config, service.log)
    expect(await rows()).toEqual(adoptedRows)
  })

  const examined = async (statement: string, parameters: unknown[]) => {
    const plan = z
      .array(z.object({ key: z.string().nullable(), rows: z.coerce.number(), Extra: z.string().nullable() }))
      .parse(await mysql.sql(`EXPLAIN FORMAT=TRADITIONAL ${statement}`, parameters))
    return plan[0]
  }
  const PAGE = `SELECT id, sku, name, label, price, quantity FROM inventory WHERE id > ? AND label = ? ORDER BY id LIMIT ?`

  it('adds an index from which a page of one label is read, without a sort or a scan of the whole table', async () => {
    await migrate(mysql.config, service.log)
    for (let from = 0; from < 40_000; from += 5_000) {
      const rows = Array.from({ length: 5_000 }, (_, n) => [`s${from + n}`, 'n', `label${n % 10}`, 1, 1])
      await mysql.sql('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    }
    await mysql.sql('ANALYZE TABLE inventory')
    for (const label of ['label3', 'there is none']) {
      const plan = await examined(PAGE, [0, label, 1_001])
      expect(plan).toMatchObject({ key: 'label_id', Extra: expect.not.stringContaining('filesort') })
      expect(plan?.rows).toBeLessThan(10_000)
    }
  })

  const indexed = async () =>
    z.array(z.object({ name: z.string(), part: z.coerce.number().nullable() })).parse(
      await mysql.sql(
        `SELECT column_name AS name, sub_part AS part FROM information_schema.statistics
           WHERE table_schema = DATABASE() AND table_name = 'inventory' AND index_name = 'label_id' ORDER BY seq_in_index`,
      ),
    )

  it('adds the label index online (LOCK=NONE)', async () => {
    const proxy = await startTcpProxy(mysql.server)
    proxy.loseAnswerTo('LOCK=NONE')
    await expect(migrate(through(mysql.config, proxy.port), service.log)).rejects.toMatchObject({ transient: true })
    await proxy.close()
    await eventually(async () => expect(await indexed()).toHaveLength(2))
    expect(await migrate(mysql.config, service.log)).toEqual({
      applied: ['IndexLabel1764000000005', 'CreateMovement1764000000006'],
    })
  })

  it.each([
    ['a TEXT', 'label TEXT', 50],
    ['too long for a key', 'label VARCHAR(5000)', 50],
    ['a TINYTEXT', 'label TINYTEXT', 50],
    ['wider than ours', 'label VARCHAR(191)', null],
    ['fixed in length', 'label CHAR(50)', null],
  ])('indexes a label column that is %s', async (_, column, prefix) => {
    await mysql.sql(PYTHON_TABLE.replace('label varchar(50)', column))
    await mysql.sql("INSERT INTO inventory (sku, label) VALUES ('a', 'x')")
    await migrate(mysql.config, service.log)
    expect(await indexed()).toEqual([
      { name: 'label', part: prefix },
      { name: 'id', part: null },
    ])
  })

  it('indexes the label column of a table whose engine is replaced', async () => {
    await mysql.sql(PYTHON_TABLE.replace('InnoDB', 'MyISAM'))
    expect(await migrate(mysql.config, service.log)).toEqual({ applied: ALL })
    expect(await indexed()).toHaveLength(2)
  })
})
