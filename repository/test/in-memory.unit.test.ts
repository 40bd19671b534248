// The in-memory inventory passes the conformance suite for inventories.
import { inMemoryInventory } from '../src/testing.ts'
import { describeInventory } from './inventory.suite.ts'

describeInventory('an inventory in memory', async () => ({
  empty: async () => inMemoryInventory(),
  close: async () => {},
}))
