// On a connection that responds to a statement twice, all later responses are shifted. The reported outcomes still match what is stored.
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { type Database, openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { creation, deletion } from './commands.ts'
import { type MysqlUnderTest, mysqlUnderTest, through } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

const DELAY_MS = 5
const skus = z.array(z.object({ sku: z.string() }))

describe('a connection that responds twice', () => {
  let mysql: MysqlUnderTest
  let proxy: Server
  let database: Database
  let twice: string | undefined
  beforeAll(async () => {
    mysql = await mysqlUnderTest('answers_twice')
    await migrate(mysql.config, serviceUnderTest().log)
    proxy = createServer((client) => {
      const server: Socket = connect(mysql.server.port, mysql.server.host)
      let isDoubled = false
      client.on('data', (data) => {
        if (twice !== undefined && data.includes(twice)) {
          isDoubled = true
          twice = undefined
        }
        server.write(data)
      })
      server.on('data', async (data) => {
        const again = isDoubled
        isDoubled = false
        client.write(data)
        if (!again) return
        // The next statement is in flight when the second response comes, before the server has responded to it.
        server.pause()
        await pause(DELAY_MS)
        client.write(data)
        server.resume()
      })
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.on('error', () => other.destroy())
        one.on('close', () => other.destroy())
      }
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const address = proxy.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    database = await openDatabase(
      { ...through(mysql.config, address.port), poolSize: 1, statementTimeoutMs: 1_000 },
      serviceUnderTest(),
    )
  })
  beforeEach(async () => {
    twice = undefined
    await mysql.sql('DELETE FROM inventory')
    await mysql.sql('DELETE FROM inbox')
  })
  afterAll(async () => {
    await database.close()
    proxy.close()
    await mysql.drop()
  })

  const untilReported = async <T>(attempt: () => Promise<T>): Promise<T> => {
    for (let n = 0; n < 20; n += 1) {
      const reported = await attempt().catch(() => undefined)
      if (reported !== undefined) return reported
    }
    throw new Error('no attempt succeeded')
  }
  const stored = async () => skus.parse(await mysql.sql('SELECT sku FROM inventory ORDER BY sku')).map(({ sku }) => sku)

  it.each([
    'START TRANSACTION',
    'INSERT INTO inbox',
    'INSERT INTO inventory',
    'COMMIT',
    'SAVEPOINT',
    'FROM inbox',
    'FROM inventory',
    'ROLLBACK',
  ])('to %s: the reported outcomes match the stored items', async (statement) => {
    const inventory = inventoryIn(database)
    await untilReported(() => inventory.create([creation({ sku: 'taken' }, { messageId: 'm0' })]))
    twice = statement
    const first = await untilReported(() =>
      inventory.create([creation({ sku: 'a' }, { messageId: 'm1' }), creation({ sku: 'taken' }, { messageId: 'm2' })]),
    )
    const second = await untilReported(() =>
      inventory.create([creation({ sku: 'b' }, { messageId: 'm3' }), creation({ sku: 'c' }, { messageId: 'm4' })]),
    )
    const page = await untilReported(() => inventory.page({ after: 0, limit: 10 }))
    twice = statement
    const gone = await untilReported(() =>
      inventory.delete([deletion('b', { messageId: 'm5' }), deletion('x', { messageId: 'm6' })]),
    )
    const after = await untilReported(() => inventory.page({ after: 0, limit: 10 }))
    expect({ first, second, gone }).toMatchObject({
      first: [{ kind: 'created' }, { kind: 'duplicate-sku' }],
      second: [{ kind: 'created' }, { kind: 'created' }],
      gone: [{ kind: 'deleted' }, { kind: 'unknown-sku' }],
    })
    expect(page.items.map(({ sku }) => sku).sort()).toEqual(['a', 'b', 'c', 'taken'])
    expect(after.items.map(({ sku }) => sku).sort()).toEqual(['a', 'c', 'taken'])
    expect(await stored()).toEqual(['a', 'c', 'taken'])
  })
})
