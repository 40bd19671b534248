// Checks how many bytes a message allocates, because garbage collection is the largest part of a message's cost. Unlike
// times, bytes do not depend on how busy the machine is.
import { expect, it } from '@jest/globals'
import type { ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { allocatedBytes, heldBytes } from 'testkit'
import { consumerEnvironment, rabbitmqEnvironment } from '../src/config.ts'
import type { Connection } from '../src/connection/connection.ts'
import { Supervised } from '../src/connection/supervised.ts'
import { createItem, type Item } from '../src/contracts.ts'
import { Consumer, type ConsumerParts } from '../src/incoming/consumer.ts'
import { readMessage } from '../src/incoming/read-message.ts'
import { legible } from '../src/legible.ts'
import { Publisher } from '../src/outgoing/publisher.ts'
import { clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'

const apple = { sku: 'a', name: 'Tropicana Apple Juice', label: 'juice', price: 25, quantity: 50 }
const message = {
  content: Buffer.from(JSON.stringify(apple)),
  fields: { consumerTag: 'c', deliveryTag: 1, redelivered: false, exchange: '', routingKey: 'create_item' },
  properties: { messageId: '018f0000-0000-7000-8000-000000000000', headers: {} },
} as unknown as ConsumeMessage
const rabbitmq = {
  ...rabbitmqEnvironment.parse({}),
  topology: 'none' as const,
  unconfirmedMax: 100_000,
  confirmTimeoutMs: 60_000,
}

const supervised = <T>(resource: T) =>
  new Supervised<T>({
    name: 'x',
    service: quietService,
    reconnectMaxMs: 1,
    open: async () => resource,
    close: async () => {},
  })

/** A connection whose only channel is `channel`. */
const connected = (channel: ConfirmChannel) =>
  supervised<Connection>({
    model: { createConfirmChannel: async () => channel } as unknown as ChannelModel,
    address: 'broker:5672',
    clock: clockOf({}),
    blocked: undefined,
    unblockedAtMs: 0,
    frameMax: 131_072,
    drop() {},
  })

/** Returns a function that delivers `messages` messages to a consumer, and resolves when all are acked. */
async function consuming(): Promise<(messages: number) => Promise<void>> {
  let arrived: (message: ConsumeMessage) => void = () => {}
  let acked = () => {}
  const channel = {
    on() {},
    prefetch: async () => {},
    consume: async (_: string, onMessage: typeof arrived) => {
      arrived = onMessage
    },
    // One ack acknowledges the whole batch.
    ack: () => acked(),
  } as unknown as ConfirmChannel
  const consumer = new Consumer({
    contract: createItem,
    handler: async (deliveries: readonly unknown[]) =>
      deliveries.map(() => ({ kind: 'applied', result: { outcome: 'created' }, repeated: false })),
    connection: connected(channel),
    rabbitmq,
    config: consumerEnvironment.parse({}),
    service: quietService,
    dependency: async () => undefined,
    // The other parts are not used for a message that is applied and requests no reply.
  } as unknown as ConsumerParts<Item, { outcome: 'created' }>)
  await consumer.subscribed(new AbortController().signal)
  return (messages) =>
    new Promise((resolve) => {
      acked = resolve
      for (let n = 0; n < messages; n += 1) arrived(message)
    })
}

type Confirm = () => void

/** Returns a function that publishes a message, and resolves when it is confirmed. `broker` gets a function that confirms it. */
async function publishing(broker: (confirm: Confirm) => void): Promise<() => Promise<unknown>> {
  const channel = {
    publish: (...[, , , , confirmed]: Parameters<ConfirmChannel['publish']>) => {
      broker(() => confirmed?.(null, {}))
      return true
    },
  } as unknown as ConfirmChannel
  const connections = connected(channel)
  const channels = supervised(channel)
  await Promise.all([connections.whenOpen(), channels.whenOpen()])
  const publisher = new Publisher(connections, rabbitmq, quietService)
  publisher.useChannel(channels)
  return () => publisher.publish(createItem, apple)
}

// Measured: 1,800 bytes. The limits are 20 to 25 % above the measured values.
it('allocates less than 2,250 bytes to parse a message', async () => {
  const read = () => {
    if ('kind' in readMessage(createItem, message, 1_000_000)) throw new Error('refused')
  }
  expect(await allocatedBytes(read)).toBeLessThan(2_250)
})

// Measured: 2,250 bytes.
it('allocates less than 2,800 bytes for a message from its delivery to its ack', async () => {
  const BATCH = 50
  const deliver = await consuming()
  expect((await allocatedBytes(() => deliver(BATCH))) / BATCH).toBeLessThan(2_800)
})

// Measured: 5,770 bytes.
it('allocates less than 6,900 bytes for a message from its publish to its confirm', async () => {
  const publish = await publishing(queueMicrotask)
  expect(await allocatedBytes(async () => void (await publish()))).toBeLessThan(6_900)
})

// Measured: 1,390 bytes. An async function that awaits each confirm would need 2,300.
it('keeps less than 1,740 bytes in memory for each unconfirmed message', async () => {
  const unconfirmed: Confirm[] = []
  const publish = await publishing((confirm) => unconfirmed.push(confirm))
  const held = await heldBytes(() => void publish())
  // Otherwise the messages would time out during a later test.
  for (const confirm of unconfirmed) confirm()
  expect(held).toBeLessThan(1_740)
}, 60_000)

it('allocates less than 1,000 bytes to escape an error text and limit its length', async () => {
  expect(await allocatedBytes(() => void legible('The item was not stored: its sku exists already.'))).toBeLessThan(
    1_000,
  )
})
