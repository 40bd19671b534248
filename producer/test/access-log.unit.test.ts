// Every request has an id, one line in the log and one measurement.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest } from './app-under-test.ts'

describe('the access log', () => {
  it.each(['a', 'A-1_b.2', 'x'.repeat(128)])('keeps the request id %.20s', async (id) => {
    const { app } = appUnderTest()
    const response = await request(app).get('/healthcheck').set('X-Request-Id', id)
    expect(response.headers['x-request-id']).toBe(id)
  })

  it.each([undefined, '', 'a b', 'a;b', 'é', 'x'.repeat(129), '{"a":1}'])('makes one instead of %.20s', async (id) => {
    const { app } = appUnderTest()
    const sending = request(app).get('/healthcheck')
    const response = await (id === undefined ? sending : sending.set('X-Request-Id', id))
    expect(response.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('gives an id to every answer, whatever its status', async () => {
    const { app } = appUnderTest()
    for (const response of [
      await request(app).get('/nothing'),
      await request(app).put('/healthcheck'),
      await request(app).options('/healthcheck'),
      await request(app).head('/healthcheck'),
      await request(app).post('/create_item').send({}),
    ])
      expect(response.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('writes one line for each request, at level info', async () => {
    const { app, lines } = appUnderTest()
    const response = await request(app).post('/create_item?x=secret').set('X-Request-Id', 'r-1').send(apple)
    const line = {
      requestId: 'r-1',
      messageId: response.headers['message-id'],
      method: 'POST',
      route: '/create_item',
      status: 200,
      ms: expect.any(Number),
    }
    expect(lines).toEqual([{ level: 'info', fields: line, message: 'request' }])
  })

  it('measures each request by route, method and status', async () => {
    const { app, measured } = appUnderTest()
    await request(app).get('/healthcheck')
    await request(app).post('/create_item').send({})
    await request(app).get('/some/other/path')
    const labels = measured
      .filter(({ metric }) => metric === 'http_request_duration_seconds')
      .map(({ labels }) => labels)
    expect(labels).toEqual([
      { route: '/healthcheck', method: 'GET', status: '200' },
      { route: '/create_item', method: 'POST', status: '400' },
      { route: 'unmatched', method: 'GET', status: '404' },
    ])
    expect(measured.every(({ value }) => value > 0 && value < 60)).toBe(true)
  })
})
