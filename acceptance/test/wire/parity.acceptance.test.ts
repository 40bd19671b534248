// Wire compatibility: the Python counterpart can replace any of the five processes, on the same queues and the same table.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { call, item, SEED_ITEM } from '../http.ts'
import { migrate, SERVICES, type ServiceName, type Stack, startStack } from '../stack.ts'
import { peerConsumers, peerProducer, readWithSqlalchemy, withoutPeers } from './peers.ts'

const missing = withoutPeers()
const describeWithPeers = missing === undefined ? describe : describe.skip
const why = missing === undefined ? '' : ` (skipped: ${missing})`

const CONSUMERS: readonly [service: ServiceName, queue: string][] = [
  ['consumer_one', 'healthcheck'],
  ['consumer_two', 'create_item'],
  ['consumer_three', 'stock_management'],
  ['consumer_four', 'order_processing'],
]
const QUEUES = CONSUMERS.map(([, queue]) => queue)

/** Makes the four calls of the original suite against our producer, with any consumers. */
async function seedCalls({ http }: Stack): Promise<void> {
  expect(await call(`${http}/healthcheck`)).toMatchObject({
    status: 200,
    body: { message: 'Health check message sent' },
  })
  expect(await call(`${http}/create_item`, { json: SEED_ITEM })).toMatchObject({ status: 200 })
  await eventually(async () => expect((await call(`${http}/order_processing`)).body).toEqual([SEED_ITEM]))
  expect(await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku } })).toMatchObject({ status: 200 })
  await eventually(async () => expect((await call(`${http}/order_processing`)).body).toEqual([]))
}

describeWithPeers(`our consumers with a Python producer${why}`, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('parity_producer', { env: { LISTING_MOST_BYTES: '1000000' } })
  })
  afterAll(async () => await stack.stop())

  it('pass the peer’s self-test: create, list, delete, list', async () => {
    const { code, events } = await peerProducer(stack, 'self-test')
    expect(events.at(-1)).toMatchObject({ event: 'self_test', ok: true })
    expect(code).toBe(0)
  })

  it('apply each of 2,000 Python messages, which have no id', async () => {
    expect((await peerProducer(stack, 'create-item', '--count', '2000', '--sku-prefix', 'BULK-')).code).toBe(0)
    await eventually(async () =>
      expect((await stack.skus()).filter((sku) => sku.startsWith('BULK-'))).toHaveLength(2_000),
    )
    const { code, events } = await peerProducer(stack, 'order-processing', '--timeout', '10')
    expect(code).toBe(0)
    expect(JSON.stringify(events)).toContain('BULK-')
  })

  it('store prices and quantities as Python does: rounded, and also from strings', async () => {
    const written = [
      { price: 0.1 + 0.2, quantity: 3 },
      { price: 10 / 3, quantity: '50' },
      { price: '25.00', quantity: '50.0' },
      { price: '1e-4', quantity: ' 7 ' },
    ]
    for (const [n, numbers] of written.entries())
      await peerProducer(stack, 'create-item', '--item', JSON.stringify({ ...item(n), sku: `NUMBER-${n}`, ...numbers }))
    await eventually(async () => {
      const shown = written.map((_, n) => call(`${stack.http}/order_processing?sku=NUMBER-${n}`))
      const stored = (await Promise.all(shown)).map(({ body }) => body)
      expect(stored).toEqual([
        [expect.objectContaining({ price: 0.3, quantity: 3 })],
        [expect.objectContaining({ price: 3.3333, quantity: 50 })],
        [expect.objectContaining({ price: 25, quantity: 50 })],
        [expect.objectContaining({ price: 0.0001, quantity: 7 })],
      ])
    })
    expect(await stack.deadLetters('create_item')).toEqual([])
  })

  it('reply with an error text if the list is too large for one message, while our own producer can list it', async () => {
    const count = (await stack.skus()).length
    const rows = Array.from({ length: 20_000 }, (_, n) => Object.values(item(n)))
    await stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    const { code, events } = await peerProducer(stack, 'order-processing', '--timeout', '10')
    expect([code, events.at(-1)?.kind]).toEqual([4, 'bad_reply'])
    expect(events.at(-1)?.detail).toMatch(/not JSON.*error: the whole list is larger than LISTING_MOST_BYTES/)
    expect((await stack.deadLetters('order_processing'))[0]?.headers['x-reason']).toBe('too-large')
    expect((await call(`${stack.http}/order_processing`)).body).toHaveLength(count + 20_000)
  })

  it('dead-letter a Python message with a duplicate sku', async () => {
    await peerProducer(stack, 'create-item', '--sku', 'TWICE')
    await peerProducer(stack, 'create-item', '--sku', 'TWICE')
    await eventually(async () =>
      expect((await stack.deadLetters('create_item'))[0]?.headers['x-reason']).toBe('duplicate-sku'),
    )
  })
})

describeWithPeers(`our producer with Python consumers${why}`, () => {
  let stack: Stack
  const running: { stop(): Promise<void> }[] = []
  afterEach(async () => {
    for (const peer of running.splice(0)) await peer.stop()
    await stack.stop()
  })

  it('works with all four consumers replaced', async () => {
    stack = await startStack('parity_all', { services: [] })
    running.push(await peerConsumers(stack, QUEUES))
    await stack.start('producer')
    await stack.ready()
    await seedCalls(stack)
  })

  it.each(CONSUMERS)('works with only %s replaced by its Python counterpart', async (service, queue) => {
    stack = await startStack(`parity_${service}`, { services: [] })
    const peer = await peerConsumers(stack, [queue])
    running.push(peer)
    for (const name of SERVICES) if (name !== service) await stack.start(name)
    await stack.ready()
    await seedCalls(stack)
    // The peer prints the event after it has processed the message.
    await eventually(() => expect(peer.events).toContainEqual(expect.objectContaining({ event: 'message', queue })))
  })

  it('returns a filtered listing and a first page with a Python consumer four', async () => {
    stack = await startStack('parity_filters', { services: ['consumer_one', 'consumer_two', 'consumer_three'] })
    running.push(await peerConsumers(stack, ['order_processing']))
    await stack.start('producer')
    await stack.ready()
    for (const n of [1, 2, 3])
      await call(`${stack.http}/create_item`, { json: item(n), headers: { Prefer: 'wait=30' } })
    expect((await call(`${stack.http}/order_processing?sku=SKU-2`)).body).toEqual([item(2)])
    expect((await call(`${stack.http}/order_processing?limit=2`)).body).toEqual([item(1), item(2)])
  })
})

describeWithPeers(`a table created by Python${why}`, () => {
  let stack: Stack
  afterEach(async () => await stack.stop())

  it('is adopted with its rows, and still works for Python', async () => {
    stack = await startStack('parity_adopt', { services: [], migrate: false })
    await stack.pool.query(
      'CREATE TABLE inventory (id INTEGER NOT NULL AUTO_INCREMENT, sku VARCHAR(20), name VARCHAR(100), label VARCHAR(50), price FLOAT, quantity INTEGER, PRIMARY KEY (id), UNIQUE (sku)) DEFAULT CHARSET=latin1',
    )
    await stack.pool.query(
      "INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('OLD', 'Crème brûlée', 'dessert', 19.99, 3)",
    )
    await migrate(stack.env)
    for (const name of SERVICES) await stack.start(name)
    await stack.ready()
    expect((await call(`${stack.http}/order_processing`)).body).toEqual([
      { sku: 'OLD', name: 'Crème brûlée', label: 'dessert', price: 19.99, quantity: 3 },
    ])
    expect(readWithSqlalchemy(stack)).toEqual([
      { sku: 'OLD', price: 19.99 },
      { sku: 'FROM-PYTHON', price: 12.5 },
    ])
    stack.service('consumer_two').kill('SIGTERM')
    await stack.service('consumer_two').exited
    const peer = await peerConsumers(stack, ['create_item'])
    await call(`${stack.http}/create_item`, { json: { ...item(1), price: 12345678.99 } })
    await eventually(async () => expect(await stack.skus()).toEqual(['OLD', 'FROM-PYTHON', 'SKU-1']))
    expect((await call(`${stack.http}/order_processing?sku=SKU-1`)).body).toEqual([{ ...item(1), price: 12345678.99 }])
    await peer.stop()
  })
})
