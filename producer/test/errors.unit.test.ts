// Errors of the broker and the consumers: the response to each, without internal details.
import { BadReply, NoReply, NotAccepted, OutcomeUnknown } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest, failing } from './app-under-test.ts'

const underFailure = (error: Error) => appUnderTest({ broker: failing(error) })
type App = Parameters<typeof request>[0]
const change = { sku: 'a', change: 1, reason: 'r' }
const commands = (app: App) => [
  request(app).get('/healthcheck'),
  request(app).post('/create_item').send(apple),
  request(app).post('/create_item').set('Prefer', 'wait=1').send(apple),
  request(app).post('/stock_management').send({ sku: 'a' }),
  request(app).post('/stock_management').set('Prefer', 'wait=1').send({ sku: 'a' }),
  request(app).post('/stock_adjustment').send(change),
  request(app).post('/stock_adjustment').set('Prefer', 'wait=1').send(change),
]
const queries = (app: App) => ['/order_processing', '/movements', '/messages/a'].map((path) => request(app).get(path))

describe('an error of the broker or a consumer', () => {
  it('becomes 503 with Retry-After for each command and query when the broker did not accept the message', async () => {
    const { app } = underFailure(new NotAccepted('blocked', 'secret detail'))
    for (const response of await Promise.all([...commands(app), ...queries(app)])) {
      expect(response.status).toBe(503)
      expect(response.headers['retry-after']).toMatch(/^\d+$/)
      expect(response.headers['content-type']).toBe('application/problem+json')
      expect(response.body).toMatchObject({ type: 'urn:ims:problem:not-accepted', reason: 'blocked' })
      expect(response.body.detail).toContain('it was not stored')
      expect(response.text).not.toContain('secret')
      expect(response.headers).not.toHaveProperty('message-id')
    }
  })

  it('becomes 503 with Retry-After when the outcome of a command is unknown', async () => {
    const { app } = underFailure(new OutcomeUnknown('secret detail'))
    for (const response of await Promise.all(commands(app))) {
      expect(response.status).toBe(503)
      expect(response.headers['retry-after']).toMatch(/^\d+$/)
      expect(response.body.detail).toContain('The outcome is unknown')
      expect(response.text).not.toContain('secret')
    }
  })

  it('becomes 503 when the outcome of a list is unknown, and the detail calls a retry safe', async () => {
    const { app } = underFailure(new OutcomeUnknown('secret detail'))
    const response = await request(app).get('/order_processing')
    expect(response.status).toBe(503)
    expect(response.headers['retry-after']).toMatch(/^\d+$/)
    expect(response.body.type).toBe('urn:ims:problem:outcome-unknown')
    expect(response.body.detail).toContain('Sending the request again is safe')
  })

  it.each([
    [504, new NoReply('secret detail'), 'no-reply'],
    [502, new BadReply('secret detail'), 'bad-reply'],
    [500, new Error('secret detail'), 'internal'],
  ])('becomes %d for a list: %s', async (status, error, kind) => {
    const { app } = underFailure(error)
    const response = await request(app).get('/order_processing')
    expect(response.status).toBe(status)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(response.body).toMatchObject({ type: `urn:ims:problem:${kind}`, status })
    expect(response.text).not.toContain('secret')
  })

  it('is logged with the request id and the internal details', async () => {
    const { app, lines } = underFailure(new Error('secret detail'))
    await request(app).get('/healthcheck').set('X-Request-Id', 'r-1')
    const logged = lines.find(({ level }) => level === 'error')
    expect(logged?.fields).toEqual({ requestId: 'r-1', error: expect.stringContaining('secret detail') })
  })
})
