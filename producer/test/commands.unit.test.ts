// Successful commands: their responses are those of the Python suite, and the producer publishes their messages.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest } from './app-under-test.ts'

describe('a command', () => {
  it('has the response of the Python suite, and sends its message: GET /healthcheck', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app).get('/healthcheck')
    expect(response.status).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.body).toEqual({ message: 'Health check message sent' })
    expect(sent('healthcheck')).toEqual([['message', 'Healthcheck']])
  })

  it('has the response of the Python suite, and sends the item: POST /create_item', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app).post('/create_item').send(apple)
    expect(response.status).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.body).toEqual({ message: 'Create item message sent' })
    expect(sent('create_item')).toEqual([apple])
  })

  it('has the response of the Python suite, and sends the sku: POST /stock_management', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app).post('/stock_management').send({ sku: apple.sku })
    expect(response.status).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.body).toEqual({ message: 'Stock management (item delete) message sent' })
    expect(sent('stock_management')).toEqual([{ sku: apple.sku }])
  })

  it.each([
    [{ price: 0.1 + 0.2 }, { price: 0.3 }],
    [{ price: 10 / 3 }, { price: 3.3333 }],
    [
      { price: '25.00', quantity: '50' },
      { price: 25, quantity: 50 },
    ],
  ])('sends %j as the numbers %j', async (given, stored) => {
    const { app, sent } = appUnderTest()
    const response = await request(app)
      .post('/create_item')
      .send({ ...apple, ...given })
    expect(response.status).toBe(200)
    expect(sent('create_item')).toEqual([{ ...apple, ...stored }])
  })

  it.each(['', 'SKU-7 ', ' SKU-8', 'SKU\t1', 'a\u0000', null])(
    'sends the sku %j of a delete unchanged',
    async (sku) => {
      const { app, sent } = appUnderTest()
      expect((await request(app).post('/stock_management').send({ sku })).status).toBe(200)
      expect(sent('stock_management')).toEqual([{ sku }])
    },
  )

  it('leaves out members that are not part of an item', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app)
      .post('/create_item')
      .send({ ...apple, id: 7, colour: 'green' })
    expect(response.status).toBe(200)
    expect(sent('create_item')).toEqual([apple])
  })

  it('returns the id of the message it sent', async () => {
    const { app, rabbitmq } = appUnderTest()
    const response = await request(app).post('/create_item').send(apple)
    expect(response.headers['message-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(rabbitmq.messages('create_item')[0]?.properties.messageId).toBe(response.headers['message-id'])
  })

  it('requests no reply without Prefer: wait', async () => {
    const { app, rabbitmq } = appUnderTest()
    const response = await request(app).post('/create_item').send(apple)
    expect(response.headers).not.toHaveProperty('preference-applied')
    expect(rabbitmq.messages('create_item')[0]?.properties.replyTo).toBeUndefined()
  })

  it('has no X-Powered-By and no ETag in its response', async () => {
    const { app } = appUnderTest()
    const { headers } = await request(app).get('/healthcheck')
    expect(headers).not.toHaveProperty('x-powered-by')
    expect(headers).not.toHaveProperty('etag')
  })
})
