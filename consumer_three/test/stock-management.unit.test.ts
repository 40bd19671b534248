// Consumer three on the in-memory broker and inventory: it deletes an item once, and reports an unknown sku.
import { consumerEnvironment, stockManagement } from '@ims/messaging'
import { InMemoryRabbitmq } from '@ims/messaging/testing'
import { inMemoryInventory } from '@ims/repository/testing'
import { expect, it } from '@jest/globals'
import { deleteItems } from '../src/stock-management.ts'

const item = { sku: 'A', name: 'n', label: 'l', price: 1.5, quantity: 2 }
const create = { messageId: undefined, fingerprint: '', redelivered: false, redrives: 0, body: item }

it('deletes an item once: the same message has no effect the second time, even if the item was created again', async () => {
  const inventory = inMemoryInventory()
  await inventory.create([create])
  const broker = new InMemoryRabbitmq().open({ publishes: [stockManagement] })
  await broker.consume(stockManagement, deleteItems(inventory), consumerEnvironment.parse({}))
  const first = await broker.requester.command(stockManagement, { sku: 'A' }, { deadlineMs: 1_000 })
  expect(first.reply).toEqual({ kind: 'applied', result: { outcome: 'deleted' } })
  const second = await broker.requester.command(stockManagement, { sku: 'A' }, { deadlineMs: 1_000 })
  expect(second.reply).toEqual({ kind: 'applied', result: { outcome: 'unknown-sku' } })
  await inventory.create([create])
  await broker.publisher.publish(stockManagement, { sku: 'A' }, { messageId: first.messageId })
  await broker.close()
  expect((await inventory.page({ after: 0, limit: 10 })).items).toEqual([item])
})
