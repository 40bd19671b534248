// Each client has its own limit: by key, by address, and by the address that a trusted proxy sends.
import { createHash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { httpEnvironment } from '../src/config.ts'
import { MonotonicStore } from '../src/http/rate-limit.ts'
import { appUnderTest } from './app-under-test.ts'

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')
const limited = (environment: Record<string, string> = {}) =>
  appUnderTest({ environment: { RATE_LIMIT_PER_MINUTE: '2', ...environment } })

type App = ReturnType<typeof appUnderTest>['app']
async function statuses(app: App, count: number, headers: Record<string, string> = {}): Promise<number[]> {
  const seen: number[] = []
  for (let turn = 0; turn < count; turn += 1) seen.push((await request(app).head('/healthcheck').set(headers)).status)
  return seen
}

describe('the rate limit', () => {
  it('returns the number of requests left, and 429 with Retry-After when none are left', async () => {
    const { app, sent } = limited()
    const first = await request(app).get('/healthcheck')
    expect(first.status).toBe(200)
    expect(first.headers.ratelimit).toMatch(/^"per-client"; r=1; t=\d+$/)
    expect(first.headers['ratelimit-policy']).toMatch(/^"per-client"; q=2; w=60; pk=:[\w+/=]+:$/)
    await request(app).get('/healthcheck')
    const third = await request(app).get('/healthcheck')
    expect(third.status).toBe(429)
    expect(Number(third.headers['retry-after'])).toBeGreaterThan(0)
    expect(Number(third.headers['retry-after'])).toBeLessThanOrEqual(60)
    expect(third.headers['content-type']).toBe('application/problem+json')
    expect(third.body).toEqual({
      type: 'urn:ims:problem:too-many-requests',
      title: 'Too many requests',
      status: 429,
      detail: 'More than 2 requests in a minute: the header Retry-After says when to retry.',
    })
    expect(sent('healthcheck')).toHaveLength(2)
  })

  it('resets for each client a minute after the first request of that client', () => {
    let nowMs = 5_000
    const store = new MonotonicStore(() => nowMs)
    const hits = (key: string) => store.increment(key).totalHits
    expect([hits('a'), hits('a')]).toEqual([1, 2])
    nowMs += 59_999
    expect([hits('a'), hits('b')]).toEqual([3, 1])
    nowMs += 1
    expect([hits('a'), hits('b')]).toEqual([1, 2])
  })

  it('keeps Retry-After within a minute when the system clock is set back an hour', async () => {
    const { app } = limited()
    const set = Date.now
    try {
      Date.now = () => set() + 3_600_000
      expect(await statuses(app, 3)).toEqual([200, 200, 429])
      Date.now = set
      const third = await request(app).head('/healthcheck')
      expect(Number(third.headers['retry-after'])).toBeLessThanOrEqual(60)
    } finally {
      Date.now = set
    }
  })

  it('forgets the oldest client when there are more than 50,000', () => {
    const store = new MonotonicStore()
    for (let n = 0; n <= 50_000; n += 1) store.increment(`address ${n}`)
    expect(store.increment('address 50000').totalHits).toBe(2)
    expect(store.increment('address 0').totalHits).toBe(1)
  })

  it('is off, and sends no headers, by default', async () => {
    const { app } = appUnderTest()
    expect(await statuses(app, 20)).toEqual(Array(20).fill(200))
    expect((await request(app).head('/healthcheck')).headers).not.toHaveProperty('ratelimit')
  })

  it('counts by the name of the API key, so that an old and a new key of one client share a limit', async () => {
    const lines = ['shop old', 'shop new', 'other third'].map((each) => each.split(' '))
    const API_KEYS = lines.map(([name, key]) => `${name} read ${sha256(key ?? '')}`).join('\n')
    const { app } = limited({ API_KEYS })
    expect(await statuses(app, 1, { 'X-API-Key': 'old' })).toEqual([200])
    expect(await statuses(app, 2, { 'X-API-Key': 'new' })).toEqual([200, 429])
    expect(await statuses(app, 2, { 'X-API-Key': 'third' })).toEqual([200, 200])
  })

  it('counts requests with an invalid key by their address', async () => {
    const { app } = limited({ API_KEYS: `shop read ${sha256('right')}` })
    const guesses = [
      ...(await statuses(app, 1, { 'X-API-Key': 'a' })),
      ...(await statuses(app, 2, { 'X-API-Key': 'b' })),
    ]
    expect(guesses).toEqual([401, 401, 429])
  })

  it('ignores X-Forwarded-For by default', async () => {
    const { app } = limited()
    const seen = []
    for (const address of ['203.0.113.1', '203.0.113.2', '203.0.113.3'])
      seen.push(...(await statuses(app, 1, { 'X-Forwarded-For': address })))
    expect(seen).toEqual([200, 200, 429])
  })

  it.each(['1', 'loopback', '127.0.0.0/8, ::ffff:127.0.0.1, ::1'])(
    'counts by the address that a proxy sends, if TRUST_PROXY=%s trusts the proxy',
    async (TRUST_PROXY) => {
      const { app } = limited({ TRUST_PROXY })
      // Only the last entry counts, because the proxy added it. The client may have sent the entries before it.
      expect(await statuses(app, 3, { 'X-Forwarded-For': '198.51.100.9, 203.0.113.1' })).toEqual([200, 200, 429])
      expect(await statuses(app, 1, { 'X-Forwarded-For': '198.51.100.8, 203.0.113.1' })).toEqual([429])
      expect(await statuses(app, 1, { 'X-Forwarded-For': '203.0.113.2' })).toEqual([200])
    },
  )

  it.each([
    ['203.0.113.1', ['203.0.113.1:4000', '203.0.113.1', '203.0.113.1:4001']],
    ['2001:db8::1', ['[2001:db8::1]:4000', '2001:db8::1', '[2001:db8::1]']],
  ])('counts by %s without the port that a proxy wrote, and logs it so', async (address, written) => {
    const { app, lines } = limited({ TRUST_PROXY: '1' })
    const seen = []
    for (const each of written) seen.push(...(await statuses(app, 1, { 'X-Forwarded-For': each })))
    expect(seen).toEqual([200, 200, 429])
    expect(lines.map((line) => line.fields)).toEqual(written.map(() => expect.objectContaining({ address })))
  })

  it('recognises a trusted proxy by its address, although the next proxy wrote its port too', async () => {
    const { app, lines } = limited({ TRUST_PROXY: 'loopback,10.0.0.0/8,fd00::/8' })
    for (const proxy of ['10.0.0.5:3321', '[fd00::5]:3322'])
      await statuses(app, 1, { 'X-Forwarded-For': `203.0.113.7:4000, ${proxy}` })
    expect(lines.map((line) => line.fields)).toEqual(
      [1, 2].map(() => expect.objectContaining({ address: '203.0.113.7' })),
    )
  })

  it('counts the addresses of one /56 IPv6 network as one client', async () => {
    const { app } = limited({ TRUST_PROXY: '1' })
    const seen = []
    for (const address of ['2001:db8:1:100::1', '2001:db8:1:1ff::2', '2001:db8:1:100::3', '2001:db8:1:200::1'])
      seen.push(...(await statuses(app, 1, { 'X-Forwarded-For': address })))
    expect(seen).toEqual([200, 200, 429, 200])
  })

  it.each(['true', '0', '10.0.0', '10.0.0.0/33', '0.0.0.0/0', 'proxy.example', '10.0.0.1,'])(
    'rejects TRUST_PROXY=%s',
    (TRUST_PROXY) => {
      const { error } = httpEnvironment.safeParse({ TRUST_PROXY })
      expect(error?.issues.map(({ path }) => path)).toEqual([['TRUST_PROXY']])
    },
  )
})
