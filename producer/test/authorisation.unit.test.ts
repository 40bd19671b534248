// Authorisation: requests without a key, with a wrong key or without the scope, and the paths that are closed without API_KEYS.
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { type ApiKey, readKeys } from '../src/http/api-keys.ts'
import { authenticate, authorise, SCOPE_OF } from '../src/http/authorisation.ts'
import { limitsOf } from '../src/http/limits.ts'
import { createApp } from '../src/producer.ts'
import { apple, appUnderTest, failing } from './app-under-test.ts'

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')
const KEYS = ['read', 'write', 'admin'].map((scope) => `${scope}er ${scope} ${sha256(`key-${scope}`)}`).join('\n')
const keyed = () => appUnderTest({ environment: { API_KEYS: KEYS } })
const bodyOf = (method: string) => (method === 'post' ? apple : undefined)
const QUEUES = ['healthcheck', 'create_item', 'stock_management', 'order_processing']
const isEmpty = ({ sent }: ReturnType<typeof appUnderTest>) => QUEUES.every((queue) => sent(queue).length === 0)

/** Requests of the API, with the scope that each requires. */
const REQUESTS = [
  ['get', '/healthcheck', 'read'],
  ['head', '/healthcheck', 'read'],
  ['head', '/order_processing', 'read'],
  ['post', '/create_item', 'write'],
  ['post', '/stock_management', 'write'],
] as const

describe('the API with API_KEYS', () => {
  it.each(REQUESTS)('returns 200 to %s %s with a key that has the scope %s', async (method, path, scope) => {
    const response = await request(keyed().app)
      [method](path)
      .set('Authorization', `Bearer key-${scope}`)
      .send(bodyOf(method))
    expect(response.status).toBe(200)
  })

  it.each(
    REQUESTS.flatMap(([method, path, needed]) =>
      ['read', 'write', 'admin']
        .filter((scope) => scope !== needed)
        .map((scope) => [method, path, scope, needed] as const),
    ),
  )('returns 403 to %s %s with a key that has only the scope %s', async (method, path, scope, needed) => {
    const under = keyed()
    const response = await request(under.app)
      [method](path)
      .set('Authorization', `Bearer key-${scope}`)
      .send(bodyOf(method))
    expect(response.status).toBe(403)
    expect(response.headers['www-authenticate']).toBe(
      `Bearer realm="ims", error="insufficient_scope", scope="${needed}"`,
    )
    if (method !== 'head')
      expect(response.body).toEqual({
        type: 'urn:ims:problem:forbidden',
        title: 'Not permitted',
        status: 403,
        detail: `The API key ${scope}er does not have the scope ${needed}.`,
      })
    expect(isEmpty(under)).toBe(true)
  })

  it.each([...REQUESTS.map(([method, path]) => [method, path] as const), ['get', '/nothing'] as const])(
    'returns 401 to %s %s without a key, and sends no message',
    async (method, path) => {
      const under = keyed()
      const response = await request(under.app)[method](path).send(bodyOf(method))
      expect(response.status).toBe(401)
      expect(response.headers['www-authenticate']).toBe('Bearer realm="ims"')
      expect(response.headers['content-type']).toBe('application/problem+json')
      if (method !== 'head') expect(response.body.title).toBe('No valid API key')
      expect(isEmpty(under)).toBe(true)
    },
  )

  it.each([
    { Authorization: 'Bearer wrong' },
    { Authorization: 'Bearer key-read x' },
    { Authorization: 'Basic key-read' },
    { Authorization: 'key-read' },
    { Authorization: 'Bearer ' },
    { 'X-API-Key': 'wrong' },
    { 'X-API-Key': '' },
    { Authorization: 'Bearer wrong', 'X-API-Key': 'key-read' },
    { Authorization: `Bearer ${sha256('key-read')}` },
  ])('returns 401 for the headers %j', async (headers) => {
    const under = keyed()
    const response = await request(under.app).get('/healthcheck').set(headers)
    expect(response.status).toBe(401)
    expect(isEmpty(under)).toBe(true)
  })

  it.each([{ Authorization: 'bearer   key-read' }, { 'X-API-Key': 'key-read' }])('accepts %j', async (headers) => {
    expect((await request(keyed().app).get('/healthcheck').set(headers)).status).toBe(200)
  })

  it('writes the name of the key to the access log, and never the key', async () => {
    const { app, lines } = keyed()
    await request(app).get('/healthcheck').set('Authorization', 'Bearer key-read')
    await request(app).get('/healthcheck').set('Authorization', 'Bearer key-wrong')
    expect(lines.map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ client: 'reader', status: 200 }),
      expect.not.objectContaining({ client: expect.anything() }),
    ])
    expect(JSON.stringify(lines)).not.toMatch(/key-(read|wrong)/)
  })

  it('accepts OPTIONS without a key, because browsers send it without one', async () => {
    expect((await request(keyed().app).options('/create_item')).status).toBe(200)
  })

  it('accepts two keys with the same name, and applies each change of the keys at once', async () => {
    const under = appUnderTest()
    const line = (key: string) => `shop read ${sha256(key)}`
    let keys = readKeys(line('old')).keys
    const { broker, config, service } = { ...under, broker: under.rabbitmq.open({}) }
    const app = createApp({ broker, config, service, keysNow: () => keys })
    const statuses = async () =>
      await Promise.all(
        ['old', 'new'].map(async (key) => (await request(app).head('/healthcheck').set('X-API-Key', key)).status),
      )
    expect(await statuses()).toEqual([200, 401])
    keys = readKeys(`${line('old')}\n${line('new')}`).keys
    expect(await statuses()).toEqual([200, 200])
    keys = readKeys(line('new')).keys
    expect(await statuses()).toEqual([401, 200])
  })

  it('limits the requests in flight of a key that was added while the API was open', async () => {
    const { config, service } = appUnderTest()
    let keys: readonly ApiKey[] | undefined
    const confirmed = Promise.withResolvers<{ messageId: string }>()
    let published = 0
    const publish = () => {
      published += 1
      // Without the limit, both requests end, and the test does not hang.
      if (published === 2) confirmed.resolve({ messageId: 'm' })
      return confirmed.promise
    }
    const broker = { ...failing(new Error('not used')), publisher: { publish } }
    const limits = { ...limitsOf(config), requestsMaxEach: 1 }
    const app = createApp({ broker, config, service, limits, keysNow: () => keys })
    keys = readKeys(`shop read ${sha256('key')}`).keys
    const ask = () => request(app).get('/healthcheck').set('X-API-Key', 'key')
    const first = ask().then(({ status }) => status)
    // Either may reach the server first.
    const second = ask().then(({ status }) => status)
    expect(await Promise.race([first, second])).toBe(503)
    confirmed.resolve({ messageId: 'm' })
    expect((await Promise.all([first, second])).sort()).toEqual([200, 503])
  })
})

describe('a path without a scope', () => {
  it.each([undefined, readKeys(KEYS).keys])(
    'never reaches the router, which might understand it differently',
    async (keys) => {
      const [identify, permit] = [authenticate(() => keys), authorise(() => keys)]
      const server = (asked: IncomingMessage, response: ServerResponse) => {
        if (identify(asked, response) && permit(asked, response)) response.end('routed')
      }
      const ask = async (path: string) => (await request(server).post(path).set('X-API-Key', 'key-write')).status
      expect([await ask('/create_item'), await ask('/create_item%23'), await ask('/nothing')]).toEqual([200, 404, 404])
    },
  )
})

describe('the API without API_KEYS', () => {
  it.each(['/dead_letters', '/dead_letters/', '/dead_letters/create_item', '//dead_letters', '/dead_letters?all=1'])(
    'returns 403 for %s, and the detail names the variable to set',
    async (path) => {
      const response = await request(appUnderTest().app).get(path).set('Authorization', 'Bearer anything')
      expect(response.status).toBe(403)
      expect(response.body.detail).toBe(
        'This path is disabled: to enable it, set API_KEYS with a key that has the scope admin.',
      )
    },
  )
})

describe('the table of scopes', () => {
  it('contains the path of every route', () => {
    const { app } = appUnderTest()
    const paths = app.router.stack.flatMap(({ route }) => (route ? [route.path] : []))
    expect(paths.length).toBeGreaterThanOrEqual(4)
    for (const path of paths) expect(Object.keys(SCOPE_OF)).toContain(path.replace('/:id', ''))
  })

  it.each(['read', 'write'])('denies dead letters to scope %s', async (scope) => {
    const response = await request(keyed().app).get('/dead_letters/create_item').set('X-API-Key', `key-${scope}`)
    expect(response.status).toBe(403)
  })

  it('allows scope admin to use /dead_letters, but not /healthcheck', async () => {
    const { app } = keyed()
    const ask = async (path: string) => (await request(app).get(path).set('X-API-Key', 'key-admin')).status
    expect([401, 403]).not.toContain(await ask('/dead_letters'))
    expect(await ask('/healthcheck')).toBe(403)
  })
})
