// Idempotency-Key on the three commands: the valid keys, the message id of a key, and the response to a second request.
import { createHash } from 'node:crypto'
import { createItem, type Delivery, type Outcome, stockAdjustment, stockManagement } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { eventually } from 'testkit'
import { always, apple, appUnderTest, consumerConfig } from './app-under-test.ts'

const KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'
const CREATED: Outcome<{ outcome: 'created' }> = { kind: 'applied', result: { outcome: 'created' }, repeated: true }
const UUID_V8 = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const COMMANDS = [
  ['/create_item', apple, createItem],
  ['/stock_management', { sku: apple.sku }, stockManagement],
  ['/stock_adjustment', { sku: apple.sku, change: -3, reason: 'sold' }, stockAdjustment],
] as const

type Under = ReturnType<typeof appUnderTest>
const post = ({ app }: Under, key: string, body: object = apple, path = '/create_item') =>
  request(app).post(path).set('Idempotency-Key', key).send(body)
const idsOn = ({ rabbitmq }: Under, queue: string) =>
  rabbitmq.messages(queue).map(({ properties }) => properties.messageId)

describe('the producer with an Idempotency-Key', () => {
  it.each([KEY, '"a"', '" "', String.raw`"say \"hi\" \\ there"`, `"${'k'.repeat(1_000)}"`, '"a, b"', '"!#[]~"'])(
    'accepts the key %s',
    async (key) => {
      const response = await post(appUnderTest(), key)
      expect([response.status, response.body]).toEqual([200, { message: 'Create item message sent' }])
      expect(response.headers['message-id']).toMatch(UUID_V8)
    },
  )

  it.each([
    '',
    '8e03978e-40d5-43e8-bc93-6894a57f9324',
    '""',
    '"',
    '"a',
    'a"',
    `'a'`,
    String.raw`"a\"`,
    String.raw`"\a"`,
    '"a"b"',
    '"a";p=1',
    '"a", "b"',
    '"a" "b"',
    '("a")',
    ':YQ==:',
    '"caf\u00e9"',
    '"a\tb"',
    '17',
    '?1',
  ])('rejects the key %s and names the header', async (key) => {
    for (const [path, body, { queue }] of COMMANDS) {
      const under = appUnderTest()
      const response = await post(under, key, body, path)
      expect(response.status).toBe(400)
      expect(response.headers['content-type']).toBe('application/problem+json')
      expect(response.body).toMatchObject({
        type: 'urn:ims:problem:invalid-header',
        detail: expect.stringContaining('Idempotency-Key'),
        errors: [{ path: 'Idempotency-Key' }],
      })
      expect(under.sent(queue)).toEqual([])
    }
  })

  it('rejects two Idempotency-Key headers', async () => {
    const response = await request(appUnderTest().app)
      .post('/create_item')
      .set('Idempotency-Key', ['"a"', '"a"'] as unknown as string)
      .send(apple)
    expect([response.status, response.body.errors]).toMatchObject([400, [{ path: 'Idempotency-Key' }]])
  })

  it.each(COMMANDS)(
    'sends each repeat of %s with the same message id and the same body',
    async (path, body, { queue }) => {
      // Two applications share nothing, like two replicas.
      const [one, other] = [appUnderTest(), appUnderTest()]
      const responses = [
        await post(one, KEY, body, path),
        await post(one, KEY, body, path),
        await post(other, KEY, body, path),
      ]
      expect(new Set(responses.map(({ status, headers }) => `${status} ${headers['message-id']}`)).size).toBe(1)
      expect(responses[0]?.status).toBe(200)
      expect(new Set([...idsOn(one, queue), ...idsOn(other, queue)])).toEqual(
        new Set([responses[0]?.headers['message-id']]),
      )
      const contents = [one, other]
        .flatMap(({ rabbitmq }) => rabbitmq.messages(queue))
        .map(({ content }) => String(content))
      expect([contents.length, new Set(contents).size]).toEqual([3, 1])
    },
  )

  it('sends the same message for any order of the members and any notation of the numbers', async () => {
    const under = appUnderTest()
    await post(under, KEY, { ...apple, price: 25, quantity: 50 })
    await post(under, KEY, {
      more: 1,
      quantity: '50',
      price: '25.00',
      label: apple.label,
      name: apple.name,
      sku: apple.sku,
    })
    const [first, second] = under.rabbitmq.messages('create_item').map(({ content }) => String(content))
    expect(second).toBe(first)
  })

  it('derives another message id for another key, path or client, and the same one after an API key is rotated', async () => {
    const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')
    const lines = [`shop write ${sha256('k1')}`, `shop write ${sha256('k2')}`, `depot write ${sha256('k3')}`]
    const under = appUnderTest({ environment: { API_KEYS: lines.join('\n') } })
    const idFor = async (apiKey: string, key: string | undefined, path = '/stock_management') => {
      const sending = request(under.app).post(path).set('X-API-Key', apiKey)
      if (key !== undefined) sending.set('Idempotency-Key', key)
      const response = await sending.send({ sku: 'a', change: 1, reason: 'r' })
      expect(response.status).toBe(200)
      return String(response.headers['message-id'])
    }
    const id = await idFor('k1', '"a"')
    // The new API key of the same client, while the old one is still valid.
    expect(await idFor('k2', '"a"')).toBe(id)
    const others = [
      await idFor('k3', '"a"'),
      await idFor('k1', '"b"'),
      await idFor('k1', '"a"', '/stock_adjustment'),
      await idFor('k1', undefined),
      await idFor('k1', undefined),
    ]
    expect(new Set([id, ...others]).size).toBe(6)
  })

  it('returns 409 while the first request is in flight, 422 for another body, and later the response of the first request', async () => {
    const under = appUnderTest()
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const seen: Delivery[] = []
    const slow = async (deliveries: readonly Delivery[]) => {
      seen.push(...deliveries)
      await released
      return deliveries.map(() => CREATED)
    }
    await under.rabbitmq.open().consume(createItem, slow, consumerConfig)
    const first = post(under, KEY)
      .set('Prefer', 'wait=20')
      .then((answer) => answer)
    await eventually(() => expect(seen).toHaveLength(1))

    const second = await post(under, KEY).set('Prefer', 'wait=20')
    expect(second.status).toBe(409)
    expect(second.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    expect(second.body).toMatchObject({ type: 'urn:ims:problem:idempotency-key-in-use' })
    const other = await post(under, KEY, { ...apple, price: 26 })
    expect(other.status).toBe(422)
    expect(other.body).toMatchObject({
      type: 'urn:ims:problem:idempotency-key-reused',
      detail: expect.stringContaining('Idempotency-Key'),
    })
    expect(other.headers).not.toHaveProperty('retry-after')
    expect(seen).toHaveLength(1)

    release()
    const answer = await first
    const again = await post(under, KEY).set('Prefer', 'wait=20')
    const resultOf = ({ status, body, headers: { location, 'message-id': id } }: typeof answer) => ({
      status,
      body,
      location,
      id,
    })
    expect(resultOf(answer)).toMatchObject({ status: 201, body: apple, location: `/order_processing?sku=${apple.sku}` })
    expect(resultOf(again)).toEqual(resultOf(answer))
  })

  it('accepts the same key again after an invalid request', async () => {
    const under = appUnderTest()
    for (let n = 0; n < 2; n += 1) {
      const response = await post(under, KEY, { sku: 'a' })
      expect([response.status, response.body.type]).toEqual([400, 'urn:ims:problem:invalid-body'])
    }
    expect((await post(under, KEY)).status).toBe(200)
  })

  it.each(COMMANDS)(
    'returns 422 when the consumer of %s has seen the key with another body',
    async (path, body, command) => {
      const under = appUnderTest()
      const refusing = always({ kind: 'refused', reason: 'message-id-reused', error: 'used before' })
      await under.rabbitmq.open().consume(command as typeof createItem, refusing, consumerConfig)
      const response = await post(under, KEY, body, path).set('Prefer', 'wait=5')
      expect([response.status, response.body.type]).toEqual([422, 'urn:ims:problem:idempotency-key-reused'])
      expect(response.headers['preference-applied']).toBe('wait=5')
      expect(response.headers['message-id']).toMatch(UUID_V8)
    },
  )

  it('ignores the header of GET /healthcheck', async () => {
    const response = await request(appUnderTest().app).get('/healthcheck').set('Idempotency-Key', 'whatever')
    expect(response.status).toBe(200)
  })
})
