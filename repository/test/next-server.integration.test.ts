// When the server in use fails for any reason (its account, its limits, its disk), the next one of the list is used.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { startTcpProxy, type TcpProxy } from 'testkit'
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

describe('a list of servers', () => {
  let mysql: MysqlUnderTest
  let proxies: TcpProxy[]
  beforeAll(async () => {
    mysql = await mysqlUnderTest('next_server')
    await migrate(mysql.config, serviceUnderTest().log)
  })
  beforeEach(async () => {
    proxies = await Promise.all([1, 2].map(() => startTcpProxy(mysql.server)))
  })
  afterEach(async () => {
    for (const proxy of proxies) await proxy.close()
  })
  afterAll(async () => {
    await mysql.drop()
  })
  const config = () => ({ ...through(mysql.config, ...proxies.map(({ port }) => port)), retryMaxMs: 100 })

  const states = [
    [1040, '08004', 'Too many connections'],
    [1045, '28000', "Access denied for user 'ims'"],
    [4151, 'HY000', 'Access denied, this account is locked'],
    [1820, 'HY000', 'You must SET PASSWORD before executing this statement'],
    [1226, '42000', "User 'ims' has exceeded the 'max_user_connections' resource"],
    [1129, 'HY000', "Host 'x' is blocked because of many connection errors"],
    [3032, 'HY000', 'The server is currently in offline mode'],
    [1049, '42000', "Unknown database 'ims'"],
    [1193, 'HY000', 'Unknown system variable'],
  ] as const
  it.each(states)('skips a server that refuses new connections with error %s', async (errno, sqlState, message) => {
    const refusals = proxies[0]?.refuse('sql_select_limit', { errno, sqlState, message }, 1_000)
    for (let n = 0; n < 30 && refusals?.count === 0; n += 1) {
      const service = serviceUnderTest()
      const late = setTimeout(() => service.stop(), 60_000)
      const database = await openDatabase(config(), service).catch(() => {
        throw new Error(service.lines.join('; '))
      })
      clearTimeout(late)
      await database.close()
    }
    expect(refusals?.count).toBeGreaterThan(0)
  })

  it.each([
    [1021, 'Disk full (/tmp/x); waiting for someone to free some space'],
    [1114, "The table 'inventory' is full"],
    [1030, 'Got error 28 "No space left on device" from storage engine InnoDB'],
    [1041, 'Out of memory'],
    [1105, 'Unknown error'],
    [1194, "Table 'inventory' is marked as crashed and should be repaired"],
    [3032, 'The server is currently in offline mode'],
    [1142, 'INSERT command denied'],
  ])('uses another server for the second attempt after an INSERT fails with error %s', async (errno, message) => {
    const database = await openDatabase(config(), serviceUnderTest())
    const inUse = proxies.find(({ open }) => open > 0)
    inUse?.refuse('INSERT INTO inventory', { errno, sqlState: 'HY000', message }, 1_000)
    const create = () => inventoryIn(database).create([creation({ sku: `s${errno}` }, { messageId: `m${errno}` })])
    await create().catch(() => {})
    const outcome = await create().catch(String)
    await database.close()
    expect(outcome).toMatchObject([{ kind: 'created' }])
  })
})
