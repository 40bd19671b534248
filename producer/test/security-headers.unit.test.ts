// Security headers that every response has, and headers that no response has.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest } from './app-under-test.ts'

describe('every response', () => {
  const responses = {
    'a success': (app: Parameters<typeof request>[0]) => request(app).get('/healthcheck'),
    'a stored item': (app: Parameters<typeof request>[0]) => request(app).post('/create_item').send(apple),
    'a bad body': (app: Parameters<typeof request>[0]) => request(app).post('/create_item').send({}),
    'an unknown path': (app: Parameters<typeof request>[0]) => request(app).get('/nothing'),
    'a closed path': (app: Parameters<typeof request>[0]) => request(app).get('/dead_letters'),
  }

  it.each(Object.entries(responses))('has headers that make browsers treat it only as data: %s', async (_, send) => {
    const { headers } = await send(appUnderTest().app)
    expect(headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    })
  })

  it.each(Object.entries(responses))(
    'has no header that reveals the software, and no CORS header: %s',
    async (_, send) => {
      const { headers } = await send(appUnderTest().app)
      for (const name of ['x-powered-by', 'server', 'etag', 'access-control-allow-origin'])
        expect(headers).not.toHaveProperty(name)
    },
  )
})
