// A request has the same response, log lines, metrics and messages with and without Express's router.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { NoReply, NotAccepted, OutcomeUnknown } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import { apple, appUnderTest, failing } from './app-under-test.ts'
import { exchange } from './wire.ts'

const AT_ONCE = 50

type Options = Parameters<typeof appUnderTest>[0]
interface Seen {
  readonly answer: string
  readonly logged: unknown
  readonly measured: unknown
  readonly sent: unknown
}

/** Replaces the parts that differ each time: ids, times and stack traces. */
const plain = (text: string): string =>
  text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'AN-ID')
    .replaceAll(/"ms":[\d.]+/g, '"ms":0')
    .replaceAll(/Date: [^\r]+/g, 'Date: then')
    .replaceAll(/\\n\s+at [^"]*/g, '')

async function seen(bytes: readonly string[], options: Options, isShort: boolean): Promise<Seen> {
  // Queries get no reply here.
  const environment = { RPC_TIMEOUT_MS: '50', ...options?.environment }
  const { app, lines, measured, sent } = appUnderTest({ ...options, environment, isShort })
  const server = createServer({ requireHostHeader: false }, app).listen(0, '127.0.0.1')
  try {
    await new Promise((resolve) => server.once('listening', resolve))
    const answer = await exchange((server.address() as AddressInfo).port, bytes)
    return {
      answer: plain(answer),
      logged: plain(JSON.stringify(lines)),
      measured: measured.map(({ metric, labels }) => ({ metric, labels })),
      sent: ['healthcheck', 'create_item', 'stock_management', 'stock_adjustment', 'order_processing'].map((queue) =>
        sent(queue),
      ),
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const request = (method: string, target: string, headers: readonly string[] = [], body = ''): string =>
  [
    `${method} ${target} HTTP/1.1`,
    'Host: localhost',
    'Connection: close',
    ...(body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    ...headers,
    '',
    body,
  ].join('\r\n')

const JSON_TYPE = 'Content-Type: application/json'
const item = JSON.stringify(apple)
const create = (body: string, headers: readonly string[] = [JSON_TYPE], target = '/create_item') =>
  request('POST', target, headers, body)

const TARGETS = [
  '/healthcheck',
  '/create_item',
  '/stock_management',
  '/order_processing?limit=x',
  '/stock_adjustment',
  '/movements?limit=x',
  '/messages/:id',
  '/messages/%41',
  '/dead_letters',
  '/dead_letters/create_item',
  '/healthcheck/',
  '/healthcheck?',
  '/healthcheck?a=b',
  '/healthcheck#top',
  '/Healthcheck',
  '//healthcheck',
  '///create_item',
  '/health%63heck',
  '/healthcheck%2f',
  '/healthcheck%',
  '/',
  '/__proto__',
  '/constructor',
  '/toString',
]
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS']

const BODIES = [
  item,
  '',
  '{',
  'null',
  '[]',
  '"text"',
  '{"sku":""}',
  `${item} `,
  `\ufeff${item}`,
  JSON.stringify({ ...apple, price: '25.55555' }),
  JSON.stringify({ ...apple, quantity: -1 }),
  JSON.stringify({ ...apple, sku: ' a' }),
  JSON.stringify({ ...apple, more: { __proto__: 1 } }),
  JSON.stringify({ ...apple, name: 'x'.repeat(120_000) }),
]

const HEADERS: readonly (readonly string[])[] = [
  [],
  ['Content-Type: text/plain'],
  ['Content-Type: application/merge-patch+json; charset=latin1'],
  [JSON_TYPE, 'Content-Encoding: gzip'],
  [JSON_TYPE, 'Content-Encoding: identity'],
  [JSON_TYPE, 'Expect: 100-continue'],
  [JSON_TYPE, 'Expect: something'],
  [JSON_TYPE, 'X-Request-Id: r-1'],
  [JSON_TYPE, 'X-Request-Id: not one'],
  [JSON_TYPE, 'Prefer: wait=0'],
  [JSON_TYPE, 'Prefer: nonsense="'],
  [JSON_TYPE, 'Idempotency-Key: "a"'],
  [JSON_TYPE, 'Idempotency-Key: "a"', 'Prefer: wait=0'],
  [JSON_TYPE, 'Idempotency-Key: "a"', 'Idempotency-Key: "a"'],
  [JSON_TYPE, 'Idempotency-Key: a'],
  [JSON_TYPE, 'X-API-Key: nobody'],
  [JSON_TYPE, 'Authorization: Bearer nobody'],
  [JSON_TYPE, 'Origin: http://elsewhere.example'],
  [JSON_TYPE, 'Sec-Fetch-Site: cross-site'],
  [JSON_TYPE, 'X-Forwarded-For: 10.0.0.1'],
  [JSON_TYPE, 'X-HTTP-Method-Override: DELETE'],
  [JSON_TYPE, 'If-None-Match: *'],
]

const REQUESTS: readonly (readonly string[])[] = [
  ...TARGETS.flatMap((target) => METHODS.map((method) => [request(method, target)])),
  ...BODIES.map((body) => [create(body)]),
  ...BODIES.map((body) => [create(body, [JSON_TYPE], '/stock_management')]),
  ...HEADERS.map((headers) => [create(item, headers)]),
  ...HEADERS.map((headers) => [request('GET', '/healthcheck', headers)]),
  // No body, a body in two packets, a chunked body, two requests at once, no Host, HTTP/1.0.
  [request('POST', '/create_item', [JSON_TYPE])],
  [create(item).slice(0, -20), item.slice(-20)],
  [request('POST', '/create_item', [JSON_TYPE, 'Transfer-Encoding: chunked']), `5\r\n{"sku\r\n0\r\n\r\n`],
  [create(item).replace('Connection: close\r\n', '') + request('GET', '/healthcheck')],
  ['GET /healthcheck HTTP/1.1\r\nConnection: close\r\n\r\n'],
  ['GET /healthcheck HTTP/1.0\r\n\r\n'],
]

const KEY = 'a key'
const keys = `reader read ${createHash('sha256').update(KEY).digest('hex')}`
const stopped = new AbortController()
stopped.abort()

describe('the short cut past the router', () => {
  it.each<[string, Options]>([
    ['by default', {}],
    ['with API keys', { environment: { API_KEYS: keys } }],
    ['during shutdown', { stopping: stopped.signal }],
    ['with a limit of 0 requests', { environment: { API_KEYS: keys }, limits: { requestsMax: 0, requestsMaxEach: 0 } }],
    ['when the broker rejects messages', { broker: failing(new NotAccepted('blocked', 'secret')) }],
    ['when the outcome is unknown', { broker: failing(new OutcomeUnknown('secret')) }],
    ['when no reply arrives', { broker: failing(new NoReply('secret')) }],
    ['after an unexpected error', { broker: failing(new Error('secret')) }],
  ])('makes no difference %s', async (_, options) => {
    expect(REQUESTS.length).toBeGreaterThan(150)
    for (let from = 0; from < REQUESTS.length; from += AT_ONCE) {
      const some = REQUESTS.slice(from, from + AT_ONCE)
      const all = (isShort: boolean) =>
        Promise.all(some.map(async (bytes) => ({ bytes, ...(await seen(bytes, options, isShort)) })))
      expect(await all(true)).toEqual(await all(false))
    }
  })

  it('is not used with a rate limit or a trusted proxy', () => {
    for (const environment of [{ RATE_LIMIT_PER_MINUTE: '1' }, { TRUST_PROXY: 'loopback' }])
      expect(appUnderTest({ environment }).app).toHaveProperty('handle')
    expect(appUnderTest().app).not.toHaveProperty('handle')
  })
})
