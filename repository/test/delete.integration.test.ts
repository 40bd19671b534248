// A batch of deletes reads the inbox only when messages may be repeated.
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

let mysql: MysqlUnderTest
let database: Database
const sent: string[] = []

beforeAll(async () => {
  mysql = await mysqlUnderTest('delete')
  const service = serviceUnderTest()
  await migrate(mysql.config, service.log)
  database = await openDatabase(mysql.config, service)
})
afterAll(async () => {
  await database.close()
  await mysql.drop()
})

/** The inventory of a process that has just started. `sent` collects its statements. */
const inventory = () =>
  inventoryIn({
    use: (work) => database.use(work),
    notReady: () => database.notReady(),
    close: () => database.close(),
    transaction: (work) =>
      database.transaction((sql, attempt) =>
        work((statement, parameters) => {
          sent.push(statement.replaceAll(/\s+/g, ' '))
          return sql(statement, parameters)
        }, attempt),
      ),
  })
const inboxReads = () => sent.splice(0).filter((statement) => /^SELECT .* FROM inbox/.test(statement)).length

it('a batch of deletes does not read the inbox for new messages', async () => {
  const items = inventory()
  await items.delete([deletion('a', { messageId: 'new-1' }), deletion('b', { messageId: 'new-2' })])
  expect(inboxReads()).toBe(0)
})

it('a batch of deletes reads the inbox once for a redelivered or a redriven message', async () => {
  const items = inventory()
  await items.delete([deletion('a', { messageId: 'again', redelivered: true })])
  expect(inboxReads()).toBe(1)
  await items.delete([deletion('a', { messageId: 'redriven', redrives: 1 })])
  expect(inboxReads()).toBe(1)
})

it('only the first of several batches with repeated messages runs twice', async () => {
  const items = inventory()
  const commands = [deletion('a', { messageId: 'repeated' })]
  await items.delete(commands)
  expect(inboxReads()).toBe(0)
  for (let batch = 0; batch < 3; batch += 1) await items.delete(commands)
  expect(sent.filter((statement) => statement.includes('FOR UPDATE'))).toHaveLength(4)
  expect(inboxReads()).toBe(3)
})
