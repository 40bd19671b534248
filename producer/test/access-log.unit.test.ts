// Each request has an id, one line in the log and one measured duration.
import { NotAccepted } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest, failing } from './app-under-test.ts'

type Agent = ReturnType<typeof request>

describe('the access log', () => {
  it.each(['a', 'A-1_b.2', 'x'.repeat(128)])('keeps the request id %.20s', async (id) => {
    const { app } = appUnderTest()
    const response = await request(app).get('/healthcheck').set('X-Request-Id', id)
    expect(response.headers['x-request-id']).toBe(id)
  })

  it.each([undefined, '', 'a b', 'a;b', 'é', 'x'.repeat(129), '{"a":1}'])(
    'creates a request id when the client sends %.20s',
    async (id) => {
      const { app } = appUnderTest()
      const sending = request(app).get('/healthcheck')
      const response = await (id === undefined ? sending : sending.set('X-Request-Id', id))
      expect(response.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    },
  )

  it('sets a request id for an unknown path, a wrong method, OPTIONS, HEAD and a bad body', async () => {
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

  it('logs a request in one line at level info, without its query', async () => {
    const { app, lines } = appUnderTest()
    const response = await request(app).post('/create_item?x=secret').set('X-Request-Id', 'r-1').send(apple)
    const line = {
      requestId: 'r-1',
      address: '127.0.0.1',
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

  it('records all unknown methods as `other`, so that a client cannot create time series', async () => {
    const { app, measured } = appUnderTest()
    const agent = request(app)
    await agent.post('/healthcheck')
    await agent.propfind('/healthcheck')
    await agent.mkcol('/healthcheck')
    const methods = measured.map(({ labels }) => labels.method)
    expect([...new Set(methods)]).toEqual(['POST', 'other'])
  })

  it.each([
    [
      'the reason of the broker',
      failing(new NotAccepted('blocked', 'memory alarm')),
      { status: '503', reason: 'blocked' },
    ],
    ['the reason internal for an unexpected error', failing(new Error('a bug')), { status: '500', reason: 'internal' }],
  ])('counts a failed request with %s, and does not count a 404', async (_, broker, expected) => {
    const { app, counted } = appUnderTest({ broker })
    await request(app).get('/nothing')
    await request(app).post('/create_item').send(apple)
    expect(counted.filter(({ metric }) => metric === 'http_requests_failed')).toEqual([
      { metric: 'http_requests_failed', value: 1, labels: { route: '/create_item', ...expected } },
    ])
  })

  it.each([
    ['unmatched', '404', 'not-found', (agent: Agent) => agent.get('/nothing')],
    ['/healthcheck', '405', 'method-not-allowed', (agent: Agent) => agent.put('/healthcheck')],
    ['/create_item', '400', 'invalid-body', (agent: Agent) => agent.post('/create_item').send({})],
    ['/healthcheck', '400', 'malformed', (agent: Agent) => agent.get(`/healthcheck?${'&'.repeat(1_001)}`)],
  ])(
    'logs the client address of a bad request, its route %s, status %s and reason %s',
    async (route, status, reason, send) => {
      const { app, lines } = appUnderTest()
      await send(request(app))
      expect(lines).toMatchObject([
        { level: 'info', fields: { address: '127.0.0.1', route, status: Number(status), reason } },
      ])
    },
  )

  it('logs one warning for a failed request, with the error of the broker', async () => {
    const { app, lines } = appUnderTest({ broker: failing(new NotAccepted('blocked', 'memory alarm')) })
    await request(app).post('/create_item').send(apple)
    expect(lines).toMatchObject([
      { level: 'warn', message: 'request', fields: { status: 503, reason: 'blocked', error: 'memory alarm' } },
    ])
  })

  it.each([
    ['that a trusted proxy sends', { TRUST_PROXY: 'loopback' }, '203.0.113.7'],
    ['of the connection when no proxy is trusted', {}, '127.0.0.1'],
  ])('logs the address %s', async (_, environment, address) => {
    const { app, lines } = appUnderTest({ environment })
    await request(app).get('/healthcheck').set('X-Forwarded-For', '203.0.113.7')
    expect(lines).toMatchObject([{ fields: { address } }])
  })
})
