// The low-stock monitor counts the items below the operator's threshold. It ignores items without a quantity.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import type { BackgroundJob } from '../src/background-job.ts'
import { type Database, openDatabase } from '../src/database.ts'
import { watchLowStock } from '../src/low-stock.ts'
import { migrate } from '../src/migrate.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { type ServiceUnderTest, serviceUnderTest } from './service.ts'

describe('the low-stock monitor', () => {
  let mysql: MysqlUnderTest
  let database: Database
  let service: ServiceUnderTest
  let seen: [metric: string, value: number][]
  beforeAll(async () => {
    mysql = await mysqlUnderTest('low stock')
    service = serviceUnderTest()
    await migrate(mysql.config, service.log)
    await mysql.sql(
      "INSERT INTO inventory (sku, quantity) VALUES ('none', 0), ('few', 4), ('enough', 5), ('unknown', NULL)",
    )
    database = await openDatabase(mysql.config, service)
  })
  beforeEach(() => {
    service = serviceUnderTest()
    seen = []
  })
  afterAll(async () => {
    await database.close()
    await mysql.drop()
  })

  const watch = (below: number, on: Pick<Database, 'use'> = database): BackgroundJob => {
    const meter = { observe: (metric: string, value: number) => void seen.push([metric, value]) }
    return watchLowStock(on, below, { ...service, meter }, 20)
  }

  it('counts the items periodically', async () => {
    const watching = watch(5)
    await eventually(() => expect(seen).toContainEqual(['inventory_low_stock_items', 2]))
    await mysql.sql("UPDATE inventory SET quantity = 1 WHERE sku = 'enough'")
    await eventually(() => expect(seen.at(-1)).toEqual(['inventory_low_stock_items', 3]))
    await watching.close()
    expect(service.lines).toEqual([])
  })

  it('logs a failed count, and counts again', async () => {
    let tries = 0
    const watching = watch(5, {
      use: async (work) => {
        tries += 1
        if (tries === 1) throw new Error('away')
        return await database.use(work)
      },
    })
    await eventually(() => expect(seen.length).toBeGreaterThan(0))
    expect(service.lines).toEqual(['could not count the items with low stock, will try again later: away'])
    await watching.close()
  })

  it('counts nothing unless the operator sets a threshold', async () => {
    const watching = watch(0, { use: () => Promise.reject(new Error('was used')) })
    await watching.close()
    expect([seen, service.lines]).toEqual([[], []])
  })
})
