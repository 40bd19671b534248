// MySQL passes the conformance suite for inventories.
import { openDatabase } from '../src/database.ts'
import { inventoryIn } from '../src/inventory.ts'
import { migrate } from '../src/migrate.ts'
import { describeInventory } from './inventory.suite.ts'
import { mysqlUnderTest } from './mysql.ts'
import { serviceUnderTest } from './service.ts'

describeInventory('MySQL', async () => {
  const mysql = await mysqlUnderTest('inventory')
  const service = serviceUnderTest()
  await migrate(mysql.config, service.log)
  const database = await openDatabase(mysql.config, service)
  return {
    empty: async () => {
      await mysql.sql('DELETE FROM inventory')
      await mysql.sql('DELETE FROM inbox')
      await mysql.sql('DELETE FROM movement')
      return inventoryIn(database)
    },
    close: async () => {
      await database.close()
      await mysql.drop()
    },
  }
})
