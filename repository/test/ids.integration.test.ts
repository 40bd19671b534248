// The id monitor reports how many ids are used up, and warns long before none are left.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import type { BackgroundJob } from '../src/background-job.ts'
import { type Database, openDatabase } from '../src/database.ts'
import { watchIds } from '../src/ids.ts'
import { migrate } from '../src/migrate.ts'
import { type MysqlUnderTest, mysqlUnderTest } from './mysql.ts'
import { type ServiceUnderTest, serviceUnderTest } from './service.ts'

describe('the id monitor', () => {
  let mysql: MysqlUnderTest
  let database: Database
  let service: ServiceUnderTest
  let seen: number[]
  beforeAll(async () => {
    mysql = await mysqlUnderTest('ids')
    service = serviceUnderTest()
    await migrate(mysql.config, service.log)
    await mysql.sql('ALTER TABLE inventory MODIFY id INT NOT NULL AUTO_INCREMENT')
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

  const watch = (on: Pick<Database, 'use'> = database): BackgroundJob => {
    const meter = {
      observe: (metric: string, value: number) => void (metric === 'inventory_ids_used_ratio' && seen.push(value)),
    }
    return watchIds(on, { ...service, meter }, 20)
  }

  it('measures the current share periodically, and warns when half of the ids are used', async () => {
    const watching = watch()
    await eventually(() => expect(seen).toContain(0))
    expect(service.lines).toEqual([])
    await mysql.sql('ALTER TABLE inventory AUTO_INCREMENT = 1073741825')
    await eventually(() => expect(seen.at(-1)).toBeCloseTo(0.5, 6))
    await eventually(() => expect(service.lines.at(-1)).toMatch(/^50 % of the ids .* Widen the column: ALTER TABLE/))
    await mysql.sql('ALTER TABLE inventory MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT')
    await eventually(() => expect(seen.at(-1)).toBeLessThan(0.000_001))
    await watching.close()
  })

  it('logs a failed measurement, and measures again', async () => {
    let tries = 0
    const watching = watch({
      use: async (work) => {
        tries += 1
        if (tries === 1) throw new Error('away')
        return await database.use(work)
      },
    })
    await eventually(() => expect(seen.length).toBeGreaterThan(0))
    expect(service.lines).toEqual([
      'could not read how many ids of the table inventory are used up, will try again later: away',
    ])
    await watching.close()
  })

  it('closes during shutdown without waiting for the next measurement', async () => {
    const watching = watchIds(database, { ...service, meter: { observe() {} } })
    service.stop()
    await watching.close()
  })
})
