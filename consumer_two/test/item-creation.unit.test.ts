// Consumer two on the in-memory broker and inventory: it stores an item once, and refuses a duplicate.
import { consumerEnvironment, createItem } from '@ims/messaging'
import { InMemoryRabbitmq } from '@ims/messaging/testing'
import { inMemoryInventory } from '@ims/repository/testing'
import { expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { storeItems } from '../src/item-creation.ts'

const item = { sku: 'A', name: 'n', label: 'l', price: 1.5, quantity: 2 }

it('stores an item once, and refuses another with the same sku: the sender gets a reply, or the message is dead-lettered', async () => {
  const rabbitmq = new InMemoryRabbitmq()
  const inventory = inMemoryInventory()
  const broker = rabbitmq.open({ publishes: [createItem] })
  await broker.consume(createItem, storeItems(inventory), consumerEnvironment.parse({}))
  const first = await broker.requester.command(createItem, item, { deadlineMs: 1_000 })
  expect(first.reply).toEqual({ kind: 'applied', result: { outcome: 'created' } })
  await broker.publisher.publish(createItem, item, { messageId: first.messageId })
  const second = await broker.requester.command(createItem, item, { deadlineMs: 1_000 })
  expect(second.reply).toMatchObject({ kind: 'refused', reason: 'duplicate-sku' })
  expect((await inventory.page({ after: 0, limit: 10 })).items).toEqual([item])
  expect(rabbitmq.messages('create_item.dead-letter')).toHaveLength(0)
  await broker.publisher.publish(createItem, { ...item, quantity: 3 })
  await eventually(() => expect(rabbitmq.messages('create_item.dead-letter')).toHaveLength(1))
  await broker.close()
})
