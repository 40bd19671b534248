// Stops a producer while clients wait. Each client gets a response, and the process exits in time.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, serversEnvironment, serversUnderTest, type TestSpace } from 'testkit'
import { killAll, logged, startWith } from '../alerts/service-in-trouble.ts'

const LISTENING = /listening on (http:\/\/127\.0\.0\.1:\d+)/
let space: TestSpace
let environment: Record<string, string>

beforeAll(async () => {
  ;({ space } = await serversUnderTest('stopping'))
  const ports = { PORT: '0', ADMIN_PORT: '0', LOG_FORMAT: 'json', WAIT_FOR_CONSUMERS: 'false' }
  environment = { ...serversEnvironment(space), ...ports }
})
afterEach(killAll)
afterAll(async () => await space.drop())

describe('a producer that is stopped while there are no consumers', () => {
  it('returns 202 for a confirmed command whose outcome a client awaits, returns 503 for a listing, and exits with 0', async () => {
    const producer = startWith('producer', environment)
    const url = await logged(producer, LISTENING)
    const headers = { Prefer: 'wait=30', 'Content-Type': 'application/json' }
    const waiting = fetch(`${url}/stock_management`, { method: 'POST', headers, body: '{"sku":"a"}' })
    const listing = fetch(`${url}/order_processing`)
    const admin = await logged(producer, /"adminPort":(\d+)/)
    await eventually(async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()
      for (const queue of ['stock_management', 'order_processing'])
        expect(metrics).toMatch(new RegExp(`^ims_messages_confirmed_total\\{queue="${queue}",.*\\} 1$`, 'm'))
    })
    const since = Date.now()
    producer.signal('SIGTERM')
    const reported = await waiting
    expect(reported.status).toBe(202)
    expect(reported.headers.get('message-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect((await listing).status).toBe(503)
    expect(await producer.ended).toBe(0)
    // Both clients would otherwise wait for 30 s.
    expect(Date.now() - since).toBeLessThan(20_000)
  })
})
