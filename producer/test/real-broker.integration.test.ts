// Behaviour that needs a real RabbitMQ: headers, replies, and a deleted queue.
import {
  type Broker,
  contracts,
  createItem,
  openBroker,
  orderProcessing,
  rabbitmqEnvironment,
  stockManagement,
  waitForConsumers,
} from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { eventually, type Servers, serversEnvironment, serversUnderTest, type TestSpace } from 'testkit'
import { always, apple, appUnderTest, consumerConfig } from './app-under-test.ts'

describe('the producer on RabbitMQ', () => {
  let servers: Servers
  let space: TestSpace
  let broker: Broker
  let app: ReturnType<typeof appUnderTest>['app']
  const seen: Record<string, unknown>[] = []

  beforeAll(async () => {
    ;({ servers, space } = await serversUnderTest('producer'))
    const config = rabbitmqEnvironment.parse(serversEnvironment(space))
    broker = await openBroker(config, quietService, { publishes: contracts })
    app = appUnderTest({ broker, environment: { RPC_TIMEOUT_MS: '60000' } }).app
    const created = { kind: 'applied', result: { outcome: 'created' }, repeated: false } as const
    await broker.consume(createItem, always<{ outcome: 'created' }>(created), consumerConfig)
    await broker.consume(
      orderProcessing,
      async (deliveries) =>
        deliveries.map(({ headers }) => {
          seen.push(headers)
          return { kind: 'answered', body: Buffer.from(JSON.stringify([apple])), headers: { 'x-next': 0 } }
        }),
      consumerConfig,
    )
    await waitForConsumers(broker, [createItem, orderProcessing], quietService, 10_000)
  })
  afterAll(async () => {
    await broker.close()
    await space.drop()
  })

  it('sends filters with non-ASCII characters in the headers of the query', async () => {
    const response = await request(app).get('/order_processing').query({ label: 'Сок 😀', sku: 'ü-1' })
    expect(response.status).toBe(200)
    expect(response.text).toBe(JSON.stringify([apple]))
    expect(seen).toEqual([
      { 'x-after': 0, 'x-limit': 1_000, 'x-label': 'Сок 😀', 'x-sku': 'ü-1', 'x-request-id': expect.any(String) },
    ])
  })

  it('returns the outcome of a command with Prefer: wait', async () => {
    const response = await request(app).post('/create_item').set('Prefer', 'wait=30').send(apple)
    expect(response.status).toBe(201)
    expect(response.body).toEqual(apple)
  })

  it('returns 202 for a command whose queue has no consumer', async () => {
    const response = await request(app).post('/stock_management').set('Prefer', 'wait=0').send({ sku: 'a' })
    expect(response.status).toBe(202)
    expect(await broker.withoutConsumer([stockManagement])).toEqual([stockManagement.queue])
  })

  it('returns 503 after a queue was deleted, and 200 once the producer has declared it again', async () => {
    await servers.rabbitmq.ctl('-p', space.rabbitmq.vhost, 'delete_queue', stockManagement.queue)
    const deleted = await request(app).post('/stock_management').send({ sku: 'a' })
    expect(deleted.status).toBe(503)
    expect(deleted.body).toMatchObject({ reason: 'unroutable' })
    await eventually(async () =>
      expect((await request(app).post('/stock_management').send({ sku: 'a' })).status).toBe(200),
    )
  })
})
