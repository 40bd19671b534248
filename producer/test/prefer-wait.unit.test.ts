// Prefer: wait for POST /create_item and POST /stock_management: the client gets the outcome of its command.
import { createItem, type Outcome, stockManagement } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { always, apple, appUnderTest, consumerConfig } from './app-under-test.ts'

const CREATED: Outcome<{ outcome: 'created' }> = { kind: 'applied', result: { outcome: 'created' }, repeated: false }
const refused = (reason: string) => ({ kind: 'refused', reason, error: `because of ${reason}` }) as const

async function create(outcome: Outcome<{ outcome: 'created' }>, item: object = apple, prefer = 'wait=5') {
  const under = appUnderTest()
  await under.rabbitmq.open().consume(createItem, always(outcome), consumerConfig)
  return await request(under.app).post('/create_item').set('Prefer', prefer).send(item)
}
async function remove(outcome: Outcome<{ outcome: 'deleted' | 'unknown-sku' }>, sku: string | null = apple.sku) {
  const under = appUnderTest()
  await under.rabbitmq.open().consume(stockManagement, always(outcome), consumerConfig)
  return await request(under.app).post('/stock_management').set('Prefer', 'wait=5').send({ sku })
}

describe('POST /create_item with Prefer: wait', () => {
  it('returns 201 with the item and its location', async () => {
    const response = await create(CREATED, { ...apple, sku: 'a&b/ü' })
    expect(response.status).toBe(201)
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.headers.location).toBe('/order_processing?sku=a%26b%2F%C3%BC')
    expect(response.body).toEqual({ ...apple, sku: 'a&b/ü' })
    expect(response.headers['preference-applied']).toBe('wait=5')
    expect(response.headers['message-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('returns 201 with the price rounded to 4 decimals and numeric strings as numbers', async () => {
    const response = await create(CREATED, { ...apple, price: '10.33335', quantity: '5e1' })
    expect([response.status, response.body]).toEqual([201, { ...apple, price: 10.3334, quantity: 50 }])
  })

  it('returns 409 when another item has the sku', async () => {
    const response = await create(refused('duplicate-sku'))
    expect(response.status).toBe(409)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(response.body).toMatchObject({ type: 'urn:ims:problem:duplicate-sku', status: 409, sku: apple.sku })
    expect(response.headers['preference-applied']).toBe('wait=5')
    expect(response.headers['message-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it.each(['rejected-by-database', 'message-id-reused', 'handler-failed'])(
    'returns 422 with the reason of the consumer: %s',
    async (reason) => {
      const response = await create(refused(reason))
      expect(response.status).toBe(422)
      expect(response.body).toMatchObject({ reason, detail: `The item was not stored: because of ${reason}` })
      expect(response.headers['preference-applied']).toBe('wait=5')
    },
  )

  it('returns 202 with the same body as without Prefer, after the wait time', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app).post('/create_item').set('Prefer', 'wait=0').send(apple)
    expect(response.status).toBe(202)
    expect(response.body).toEqual({ message: 'Create item message sent' })
    expect(response.headers['preference-applied']).toBe('wait=0')
    expect(response.headers['message-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(sent('create_item')).toEqual([apple])
  })

  it('waits no longer than the configured maximum', async () => {
    const { app } = appUnderTest({ environment: { PREFER_WAIT_MOST_S: '0' } })
    const response = await request(app).post('/create_item').set('Prefer', 'wait=3600').send(apple)
    expect(response.status).toBe(202)
    expect(response.headers['preference-applied']).toBe('wait=0')
  })

  it('finds wait among other preferences', async () => {
    const response = await create(CREATED, apple, 'respond-async, foo="a, b", Wait="7"')
    expect(response.headers['preference-applied']).toBe('wait=7')
  })

  it('ignores an invalid preference', async () => {
    const response = await create(CREATED, apple, 'wait=soon')
    expect(response.status).toBe(200)
    expect(response.body).toEqual({ message: 'Create item message sent' })
    expect(response.headers).not.toHaveProperty('preference-applied')
  })
})

describe('POST /stock_management with Prefer: wait', () => {
  it('returns 200 when the item is deleted', async () => {
    const response = await remove({ kind: 'applied', result: { outcome: 'deleted' }, repeated: false })
    expect(response.status).toBe(200)
    expect(response.body).toEqual({ message: 'Item deleted', sku: apple.sku })
    expect(response.headers['preference-applied']).toBe('wait=5')
    expect(response.headers['message-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('returns 404 when there is no such item', async () => {
    const response = await remove({ kind: 'applied', result: { outcome: 'unknown-sku' }, repeated: false })
    expect(response.status).toBe(404)
    expect(response.body).toMatchObject({ type: 'urn:ims:problem:unknown-sku', status: 404, sku: apple.sku })
    expect(response.headers['preference-applied']).toBe('wait=5')
  })

  it.each([
    ['', 'Nothing was deleted: there is no item with sku "".'],
    [' a\t\u0000\r\n', String.raw`Nothing was deleted: there is no item with sku " a\t\u0000\r\n".`],
    [null, 'Nothing was deleted: there is no item without a sku.'],
  ])('returns 404 with the sku %j in the detail', async (sku, detail) => {
    const response = await remove({ kind: 'applied', result: { outcome: 'unknown-sku' }, repeated: false }, sku)
    expect(response.status).toBe(404)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(response.body).toMatchObject({ detail, sku })
  })

  it.each(['', ' a\t\u0000\r\n', null])('returns 200 with the sku %j', async (sku) => {
    const response = await remove({ kind: 'applied', result: { outcome: 'deleted' }, repeated: false }, sku)
    expect([response.status, response.body]).toEqual([200, { message: 'Item deleted', sku }])
  })

  it('returns 422 with the reason of the consumer', async () => {
    const response = await remove(refused('rejected-by-database'))
    expect(response.status).toBe(422)
    expect(response.body).toMatchObject({ reason: 'rejected-by-database' })
  })

  it('returns 202 with the same body as without Prefer, after the wait time', async () => {
    const { app } = appUnderTest()
    const response = await request(app).post('/stock_management').set('Prefer', 'wait=0').send({ sku: 'a' })
    expect(response.status).toBe(202)
    expect(response.body).toEqual({ message: 'Stock management (item delete) message sent' })
    expect(response.headers['preference-applied']).toBe('wait=0')
  })
})
