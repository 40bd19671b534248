// Limits the allocation per parsed message, because garbage collection is the largest part of a message's cost.
import { expect, it } from '@jest/globals'
import type { Message } from 'amqplib'
import { allocatedBytes } from 'testkit'
import { createItem } from '../src/contracts.ts'
import { readMessage } from '../src/incoming/read-message.ts'
import { legible } from '../src/legible.ts'

const message = {
  content: Buffer.from(
    JSON.stringify({ sku: 'a', name: 'Tropicana Apple Juice', label: 'juice', price: 25, quantity: 50 }),
  ),
  fields: { consumerTag: 'c', deliveryTag: 1, redelivered: false, exchange: '', routingKey: 'create_item' },
  properties: { messageId: '018f0000-0000-7000-8000-000000000000', headers: {} },
} as unknown as Message

// A quarter above the measured 1,950.
it('a parsed message allocates little', async () => {
  const read = () => {
    if ('kind' in readMessage(createItem, message, 1_000_000)) throw new Error('refused')
  }
  expect(await allocatedBytes(read)).toBeLessThan(2_450)
}, 60_000)

it('an explanation allocates no more than its length', async () => {
  expect(await allocatedBytes(() => void legible('The item was not stored: its sku exists already.'))).toBeLessThan(
    1_000,
  )
}, 60_000)
