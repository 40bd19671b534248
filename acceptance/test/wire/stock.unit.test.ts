// POST /stock_adjustment, GET /movements and GET /messages/{id} on an in-memory broker and inventory.
import { createHash } from 'node:crypto'
import { createItem, type Handler, messageStatus, movements, stockAdjustment } from '@ims/messaging'
import { inMemoryInventory } from '@ims/repository/testing'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { reportStatus } from '../../../consumer_four/src/message-status.ts'
import { listMovements } from '../../../consumer_four/src/movements.ts'
import { adjustItems } from '../../../consumer_three/src/stock-adjustment.ts'
import { storeItems } from '../../../consumer_two/src/item-creation.ts'
import { apple, appUnderTest, consumerConfig } from '../../../producer/test/app-under-test.ts'

const { sku } = apple
const sold = { sku, change: -3, reason: 'sold' }

async function suite(environment: Record<string, string> = {}) {
  const under = appUnderTest({ environment })
  const inventory = inMemoryInventory()
  const broker = under.rabbitmq.open()
  await broker.consume(createItem, storeItems(inventory), consumerConfig)
  await broker.consume(stockAdjustment, adjustItems(inventory), consumerConfig)
  await broker.consume(movements, listMovements(inventory), consumerConfig)
  await broker.consume(messageStatus, reportStatus(inventory), consumerConfig)
  const post = (path: string, body: object) => request(under.app).post(path).set('Prefer', 'wait=5').send(body)
  return { ...under, inventory, post }
}

describe('POST /stock_adjustment', () => {
  it('returns 200 and the message id once the message is stored', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app)
      .post('/stock_adjustment')
      .send({ ...sold, other: 1 })
    expect([response.status, response.body]).toEqual([200, { message: 'Stock adjustment message sent' }])
    expect(response.headers['message-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(sent('stock_adjustment')).toEqual([sold])
  })

  it('returns 201 with the new quantity to a client that sends Prefer: wait', async () => {
    const { post } = await suite()
    await post('/create_item', apple)
    const response = await post('/stock_adjustment', sold)
    expect([response.status, response.body]).toEqual([201, { message: 'Stock adjusted', sku, quantity: 47 }])
    expect(response.headers['preference-applied']).toBe('wait=5')
  })

  it.each([
    [
      'a decrease by more than the stock',
      { change: -51 },
      409,
      'insufficient-stock',
      /the change is -51, but the quantity of sku .* is 50\.$/,
    ],
    ['a change above the maximum of the column', { change: 2_147_483_647 }, 409, 'quantity-too-large', /2147483697/],
    ['an unknown item', { sku: 'x' }, 404, 'unknown-sku', /there is no item with sku "x"\.$/],
  ])('rejects %s', async (_, change, status, kind, detail) => {
    const { post } = await suite()
    await post('/create_item', apple)
    const response = await post('/stock_adjustment', { ...sold, ...change })
    expect([response.status, response.body.type]).toEqual([status, `urn:ims:problem:${kind}`])
    expect(response.body.detail).toMatch(detail)
  })

  it.each([
    [{}, ['sku', 'change', 'reason']],
    [{ ...sold, change: 0 }, ['change']],
    [{ ...sold, change: 1.5 }, ['change']],
    [{ ...sold, change: '1' }, ['change']],
    [{ ...sold, change: 2_147_483_648 }, ['change']],
    [{ ...sold, sku: null }, ['sku']],
    [{ ...sold, reason: '' }, ['reason']],
    [{ ...sold, reason: 'r'.repeat(101) }, ['reason']],
  ])('returns 400 and names each invalid member: %j', async (body, members) => {
    const { app, sent } = appUnderTest()
    const response = await request(app).post('/stock_adjustment').send(body)
    expect(response.status).toBe(400)
    expect(response.body.errors.map(({ path }: { path: string }) => path)).toEqual(members)
    expect(sent('stock_adjustment')).toEqual([])
  })
})

describe('GET /movements', () => {
  it('ignores the parameters that only the list has', async () => {
    const { app } = await suite()
    const response = await request(app).get(`/movements?q=&quantity_below=x&label=${'x'.repeat(51)}`)
    expect([response.status, response.body]).toEqual([200, []])
  })

  it('lists changes in pages, with their client and request id', async () => {
    const key = createHash('sha256').update('secret').digest('hex')
    const { app } = await suite({ API_KEYS: `shop read,write ${key}` })
    const asShop = request.agent(app).set('X-API-Key', 'secret').set('Prefer', 'wait=5')
    await asShop.post('/create_item').send(apple)
    await asShop.post('/stock_adjustment').set('X-Request-Id', 'order-1').send(sold)
    await asShop.post('/stock_adjustment').send({ ...sold, change: 2, reason: 'returned' })
    const first = await asShop.get(`/movements?sku=${sku}&limit=1`)
    expect(first.status).toBe(200)
    expect(first.body).toMatchObject([
      { sku, change: -3, quantityBefore: 50, quantityAfter: 47, reason: 'sold', by: 'shop', requestId: 'order-1' },
    ])
    expect(first.headers.link).toBe(`</movements?sku=${sku}&limit=1&after=1>; rel="next"`)
    const second = await asShop.get(`/movements?sku=${sku}&limit=1&after=1`)
    expect(second.body).toMatchObject([{ change: 2, quantityAfter: 49 }])
    expect(second.headers.link).toBeUndefined()
    expect((await asShop.get('/movements?limit=0')).status).toBe(400)
  })
})

describe('a page of movements', () => {
  it.each([
    ['has no x-next', '[]', {}],
    ['has an x-next that is not larger than ?after=', '[]', { 'x-next': 5 }],
    ['is not a list of movements', '[{"sku":"a"}]', { 'x-next': 0 }],
  ])('is 502 when the reply %s', async (_, body, headers) => {
    const { app, rabbitmq } = appUnderTest()
    const handler: Handler<unknown, never> = async (deliveries) =>
      deliveries.map(() => ({ kind: 'answered', body: Buffer.from(body), headers }))
    await rabbitmq.open().consume(movements, handler, consumerConfig)
    const response = await request(app).get('/movements?after=5')
    expect([response.status, response.body.type]).toEqual([502, 'urn:ims:problem:bad-reply'])
  })
})

describe('GET /messages/{id}', () => {
  it('reports an applied and a refused message, with the history', async () => {
    const { app, post, measured } = await suite()
    const created = (await post('/create_item', apple)).headers['message-id']
    const refused = (await post('/create_item', apple)).headers['message-id']
    const applied = await request(app).get(`/messages/${created}`)
    // All ids share one metric series.
    expect(measured.at(-1)?.labels.route).toBe('/messages/:id')
    const verdict = { queue: 'create_item', redrives: 0, outcome: 'created', error: null, at: expect.any(String) }
    expect(applied.status).toBe(200)
    expect(applied.body).toEqual({
      id: created,
      state: 'applied',
      queue: 'create_item',
      outcome: 'created',
      at: expect.any(String),
      history: [verdict],
    })
    expect((await request(app).get(`/messages/${refused}`)).body).toMatchObject({
      state: 'refused',
      reason: 'duplicate-sku',
      error: `an item with sku "${sku}" is stored already`,
      possible: ['told', 'dead-letter', 'redriven', 'discarded'],
    })
  })

  const AT = '2026-01-02T03:04:05.678Z'
  const sentAt = (ms: number) => {
    const hex = ms.toString(16).padStart(12, '0')
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
  }
  it.each([
    ['is too recent to be forgotten', sentAt(Date.parse(AT) + 61_000), AT, false],
    ['may be forgotten: it is as old as the oldest verdict', sentAt(Date.parse(AT)), AT, true],
    ['may be forgotten: there are no verdicts', sentAt(Date.parse(AT)), null, true],
    ['may be forgotten: its id contains no time', 'anything', AT, true],
  ])('lists the possible states of an unknown message: it %s', async (_, id, remembersSince, isPossiblyForgotten) => {
    const { app, rabbitmq } = appUnderTest()
    const body = Buffer.from(JSON.stringify({ verdicts: [], remembersSince }))
    const nothing: Handler<unknown, never> = async (all) => all.map(() => ({ kind: 'answered', body, headers: {} }))
    await rabbitmq.open().consume(messageStatus, nothing, consumerConfig)
    const response = await request(app).get(`/messages/${id}`)
    expect(response.body).toMatchObject({ id, state: 'unknown' })
    expect(response.body.possible.includes('forgotten')).toBe(isPossiblyForgotten)
    expect(response.body.possible).toEqual(
      expect.arrayContaining(['queued', 'dead-letter', 'never-sent', 'leaves-no-record']),
    )
  })

  it('returns 400 for an invalid message id', async () => {
    const { app } = await suite()
    for (const id of ['x'.repeat(256), '%', '%c0%af'])
      expect([id, (await request(app).get(`/messages/${id}`)).status]).toEqual([id, 400])
  })
})
