// The headers of every response that browsers obey, and those that are absent.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest } from './app-under-test.ts'

describe('every response', () => {
  const answers = {
    'a success': (app: Parameters<typeof request>[0]) => request(app).get('/healthcheck'),
    'a stored item': (app: Parameters<typeof request>[0]) => request(app).post('/create_item').send(apple),
    'a bad body': (app: Parameters<typeof request>[0]) => request(app).post('/create_item').send({}),
    'a path that is not there': (app: Parameters<typeof request>[0]) => request(app).get('/nothing'),
    'a closed path': (app: Parameters<typeof request>[0]) => request(app).get('/dead_letters'),
  }

  it.each(Object.entries(answers))('is only data to a browser: %s', async (_, ask) => {
    const { headers } = await ask(appUnderTest().app)
    expect(headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    })
  })

  it.each(Object.entries(answers))('does not reveal the software: %s', async (_, ask) => {
    const { headers } = await ask(appUnderTest().app)
    for (const name of ['x-powered-by', 'server', 'etag', 'access-control-allow-origin'])
      expect(headers).not.toHaveProperty(name)
  })
})
