// Paths and methods: the status of each, the allowed methods, and which requests send no message.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { appUnderTest } from './app-under-test.ts'

const GETS = ['/healthcheck', '/order_processing']
const POSTS = ['/create_item', '/stock_management']
const QUEUES = ['healthcheck', 'create_item', 'stock_management', 'order_processing']

function nothingSent({ sent }: { sent: (queue: string) => unknown[] }): void {
  for (const queue of QUEUES) expect(sent(queue)).toEqual([])
}

describe('the API', () => {
  it.each(GETS)('returns 200 for HEAD %s, and sends no message', async (path) => {
    const under = appUnderTest()
    const response = await request(under.app).head(path)
    expect(response.status).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    nothingSent(under)
  })

  it.each([`/messages/${'x'.repeat(256)}`, '/movements?limit=0'])(
    'returns 400 for HEAD, as for GET, without a message: %s',
    async (path) => {
      const { app, sent } = appUnderTest()
      const statuses = [(await request(app).head(path)).status, (await request(app).get(path)).status]
      expect(statuses).toEqual([400, 400])
      expect([...sent('message_status'), ...sent('movements')]).toEqual([])
    },
  )

  it.each([...GETS.map((path) => [path, 'GET, HEAD, OPTIONS']), ...POSTS.map((path) => [path, 'POST, OPTIONS'])])(
    'responds to OPTIONS %s with Allow: %s and no body',
    async (path, allow) => {
      const under = appUnderTest()
      const response = await request(under.app).options(path)
      expect(response.status).toBe(200)
      expect(response.headers.allow).toBe(allow)
      expect(response.text).toBe('')
      nothingSent(under)
    },
  )

  it.each([
    ...GETS.flatMap((path) =>
      (['post', 'put', 'delete', 'patch', 'trace'] as const).map((method) => [method, path] as const),
    ),
    ...POSTS.flatMap((path) =>
      (['get', 'head', 'put', 'delete', 'patch', 'trace'] as const).map((method) => [method, path] as const),
    ),
  ])('rejects %s %s with 405 and the allowed methods', async (method, path) => {
    const under = appUnderTest()
    const response = await request(under.app)[method](path)
    expect(response.status).toBe(405)
    expect(response.headers.allow).toBe(GETS.includes(path) ? 'GET, HEAD, OPTIONS' : 'POST, OPTIONS')
    expect(response.headers['content-type']).toBe('application/problem+json')
    if (method !== 'head') expect(response.body).toMatchObject({ status: 405, title: 'Method not allowed' })
    nothingSent(under)
  })

  it.each(['/', '/healthcheck/', '/Healthcheck', '/create_item/', '/nothing', '/healthcheck/x', '/%zz', '/console'])(
    'returns 404 for %s',
    async (path) => {
      const under = appUnderTest()
      const response = await request(under.app).get(path)
      expect(response.status).toBe(404)
      expect(response.headers['content-type']).toBe('application/problem+json')
      expect(response.body).toEqual({
        type: 'urn:ims:problem:not-found',
        title: 'Not found',
        status: 404,
        detail: 'There is nothing at this path.',
      })
      nothingSent(under)
    },
  )

  it.each(['//healthcheck', '///healthcheck', '//healthcheck?a=b'])('serves %s as /healthcheck', async (path) => {
    const { app, sent } = appUnderTest()
    const response = await request(app).get(path)
    expect(response.status).toBe(200)
    expect(sent('healthcheck')).toHaveLength(1)
  })

  it('ignores Accept and the query string of GET /healthcheck', async () => {
    const { app } = appUnderTest()
    const response = await request(app).get('/healthcheck?x=1&x=2').set('Accept', 'image/png')
    expect(response.status).toBe(200)
  })
})
