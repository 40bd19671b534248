// The inventory in memory keeps what the suite demands of every inventory.
import { inMemoryInventory } from '../src/testing.ts'
import { describeInventory } from './inventory.suite.ts'

describeInventory('an inventory in memory', async () => ({
  empty: async () => inMemoryInventory(),
  close: async () => {},
}))
