// Failover in a list of servers, and to another server with the same host name. Connections to an unusable server are closed.
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { hasServerPrograms, type PrivateMysql, privateMysql, startTcpProxy, type TcpProxy } from 'testkit'
import { mysqlEnvironment } from '../src/config.ts'
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation } from './commands.ts'
import { connectionIdOf, type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const attempts = async (work: () => Promise<unknown>) => {
  for (let attempt = 1; ; attempt += 1) {
    const error = await work().then(
      () => undefined,
      (failure) => failure,
    )
    if (error === undefined) return attempt
    expect(error).toMatchObject({ transient: true })
  }
}

describe('a list of servers', () => {
  let mysql: MysqlUnderTest
  let proxies: TcpProxy[]
  beforeAll(async () => {
    mysql = await mysqlUnderTest('several_servers')
    await migrate(mysql.config, serviceUnderTest().log)
  })
  beforeEach(async () => {
    proxies = await Promise.all([1, 2, 3].map(() => startTcpProxy(mysql.server)))
  })
  afterEach(async () => {
    for (const proxy of proxies) await proxy.close()
  })
  afterAll(async () => {
    await mysql.drop()
  })
  const config = () => through(mysql.config, ...proxies.map(({ port }) => port))
  const inUse = () => proxies.findIndex(({ open }) => open > 0)

  it('stays with a server when the pool is exhausted, because that is not a failure of the server', async () => {
    const database = await openDatabase({ ...config(), poolSize: 1, acquireTimeoutMs: 200 }, serviceUnderTest())
    const before = await database.use(async () => {
      await expect(database.use((sql) => sql('SELECT 1'))).rejects.toMatchObject({ ours: true })
      return inUse()
    })
    await database.use((sql) => sql('SELECT 1'))
    expect(inUse()).toBe(before)
    expect(proxies.filter(({ open }) => open > 0)).toHaveLength(1)
    await database.close()
  })

  it('starts with a random server, and skips those that do not respond', async () => {
    const seen = new Set<number>()
    await proxies[0]?.close()
    for (let n = 0; n < 40 && seen.size < 2; n += 1) {
      const database = await openDatabase(config(), serviceUnderTest())
      seen.add(inUse())
      await database.close()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect([...seen].sort()).toEqual([1, 2])
  })

  it('uses another server for the second attempt when the connection is lost', async () => {
    const database = await openDatabase(config(), serviceUnderTest())
    const inventory = inventoryIn(database)
    const first = inUse()
    await proxies[first]?.close()
    expect(await attempts(() => inventory.create([creation({ sku: 'a' }, { messageId: 'm' })]))).toBe(2)
    expect(inUse()).not.toBe(first)
    await database.close()
  })

  it('moves on from a server that is not ready, read-only or shutting down', async () => {
    const database = await openDatabase(config(), serviceUnderTest())
    const inventory = inventoryIn(database)
    for (const [errno, message] of [
      [1047, 'WSREP has not yet prepared node for application use'],
      [1290, 'The MariaDB server is running with the --read-only option'],
      [1836, 'Running in read-only mode'],
      [1053, 'Server shutdown in progress'],
    ] as const) {
      const before = inUse()
      proxies[before]?.refuse('INSERT INTO inventory', { errno, sqlState: 'HY000', message })
      expect(await attempts(() => inventory.create([creation({ sku: `s${errno}` }, { messageId: `m${errno}` })]))).toBe(
        2,
      )
      expect(inUse()).not.toBe(before)
    }
    await database.close()
  })

  it('completes a running transaction after another transaction has caused a failover', async () => {
    const database = await openDatabase(config(), serviceUnderTest())
    const inventory = inventoryIn(database)
    const slow = database.transaction(async (sql) => {
      await sql("INSERT INTO inventory (sku) VALUES ('slow')")
      proxies[inUse()]?.refuse('INSERT INTO inventory', { errno: 1047, sqlState: '08S01', message: 'not ready' })
      await attempts(() => inventory.create([creation({ sku: 'quick' }, { messageId: 'quick' })]))
      return 'ended'
    })
    expect(await slow).toBe('ended')
    expect((await inventory.page({ after: 0, limit: 10, sku: 'slow' })).items).toHaveLength(1)
    await database.close()
  })

  it('replaces a connection at its maximum age', async () => {
    const database = await openDatabase({ ...mysql.config, poolSize: 1, connectionAgeMaxMs: 3_000 }, serviceUnderTest())
    const first = await connectionIdOf(database)
    expect(await connectionIdOf(database)).toBe(first)
    await new Promise((resolve) => setTimeout(resolve, 3_050))
    expect(await connectionIdOf(database)).not.toBe(first)
    await database.close()
  })
})

const here = hasServerPrograms() ? describe : describe.skip
here('a server that becomes read-only', () => {
  const directory = join(tmpdir(), `ims-failover-${process.pid}`)
  // Create it in a hook: if all tests are skipped, no hook deletes a directory that was created outside.
  beforeAll(() => void mkdirSync(directory, { mode: 0o700 }))
  let servers: PrivateMysql[]
  const configOf = ({ mysql }: PrivateMysql, settings: Record<string, string> = {}) =>
    mysqlEnvironment.parse({
      ...{ MYSQL_PORT: String(mysql.port), MYSQL_USER: mysql.user, MYSQL_PASSWORD: mysql.password },
      ...{ MYSQL_DATABASE: mysql.database, MYSQL_POOL_SIZE: '1', ...settings },
    })
  beforeAll(async () => {
    servers = [await privateMysql(join(directory, 'a'), []), await privateMysql(join(directory, 'b'), [])]
    for (const server of servers) await migrate(configOf(server), serviceUnderTest().log)
    const [a, b] = servers
    await b?.mysql.sql(`CREATE USER '${a?.mysql.user}'@'127.0.0.1' IDENTIFIED BY '${a?.mysql.password}';
      GRANT ALL ON ims.* TO '${a?.mysql.user}'@'127.0.0.1'`)
  })
  afterAll(async () => {
    for (const server of servers) await server.end()
    rmSync(directory, { recursive: true })
  })

  it('causes a new connection after the first refused write', async () => {
    const [a] = servers
    if (a === undefined) throw new Error('no server')
    const database = await openDatabase(configOf(a), serviceUnderTest())
    const inventory = inventoryIn(database)
    const before = await connectionIdOf(database)
    await a.mysql.sql('SET GLOBAL read_only = ON')
    await expect(inventory.create([creation({ sku: 'x' }, { messageId: 'x' })])).rejects.toMatchObject({ errno: 1290 })
    expect(await connectionIdOf(database)).not.toBe(before)
    await a.mysql.sql('SET GLOBAL read_only = OFF')
    expect(await inventory.create([creation({ sku: 'x' }, { messageId: 'x' })])).toMatchObject([{ kind: 'created' }])
    await database.close()
  })

  it('is skipped when another server of the list accepts writes', async () => {
    const [a, b] = servers
    if (a === undefined || b === undefined) throw new Error('no servers')
    await a.mysql.sql('SET GLOBAL read_only = ON')
    const config = configOf(a, { MYSQL_HOST: `127.0.0.1:${a.mysql.port},127.0.0.1:${b.mysql.port}` })
    for (let n = 0; n < 6; n += 1) {
      const database = await openDatabase(config, serviceUnderTest())
      await inventoryIn(database).create([creation({ sku: `y${n}` }, { messageId: `y${n}` })])
      await database.close()
    }
    await a.mysql.sql('SET GLOBAL read_only = OFF')
    expect(await b.mysql.sql("SELECT COUNT(*) FROM ims.inventory WHERE sku LIKE 'y%'")).toBe('6\n')
  })
})
