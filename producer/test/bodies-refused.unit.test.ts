// Bad bodies: the status and the problem document of each.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { apple, appUnderTest, JSON_TYPE, post } from './app-under-test.ts'

describe('a bad body', () => {
  it.each([undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'text/json', 'json'])(
    'gets 415 when its type is %s',
    async (type) => {
      const { app, sent } = appUnderTest()
      const sending = request(app).post('/create_item').serialize(String)
      const response = await (type === undefined
        ? sending.unset('Content-Type')
        : sending.set('Content-Type', type)
      ).send(Buffer.from(JSON.stringify(apple)))
      expect(response.status).toBe(415)
      expect(response.body).toMatchObject({ status: 415, detail: 'The header Content-Type must be application/json.' })
      expect(sent('create_item')).toEqual([])
    },
  )

  it('gets 415 with Accept-Encoding: identity when it is compressed', async () => {
    const { app, sent } = appUnderTest()
    const response = await request(app).post('/create_item').set('Content-Encoding', 'gzip').send(apple)
    expect(response.status).toBe(415)
    expect(response.headers['accept-encoding']).toBe('identity')
    expect(sent('create_item')).toEqual([])
  })

  it.each([
    ['empty', '', 'The body is empty.'],
    ['broken', '{"sku": }', 'The body is not valid JSON: '],
    ['cut short', '{"sku": "a"', 'The body is not valid JSON: '],
    ['two values', '{} {}', 'The body is not valid JSON: '],
    ['a bare byte order mark', '\ufeff', 'The body is not valid JSON: '],
    ['NaN', '{"price": NaN}', 'The body is not valid JSON: '],
    ['Infinity', '{"price": Infinity}', 'The body is not valid JSON: '],
    ['-Infinity', '{"price": -Infinity}', 'The body is not valid JSON: '],
    ['invalid UTF-8', Buffer.from([0x22, 0xc3, 0x28, 0x22]), 'The body is not valid UTF-8, UTF-16 or UTF-32.'],
    ['invalid UTF-16', Buffer.from([0x22, 0, 0, 0xd8]), 'The body is not valid UTF-8, UTF-16 or UTF-32.'],
    ['invalid UTF-32', Buffer.from([0x22, 0, 0, 0, 0, 0, 0x11, 0]), 'The body is not valid UTF-8, UTF-16 or UTF-32.'],
    ['nested very deeply and never closed', '['.repeat(100_000), 'The body is not valid JSON: '],
  ])('gets 400 with a detail when it is %s', async (_, body, detail) => {
    const { response, sent } = post(body)
    const { status, body: problem, headers } = await response
    expect(status).toBe(400)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(problem).toMatchObject({ type: 'urn:ims:problem:invalid-json', status: 400 })
    expect(problem.detail.startsWith(detail)).toBe(true)
    expect(sent('create_item')).toEqual([])
  })

  it.each(['null', '5', '"x"', 'true', '[1,2]', `${'['.repeat(50_000)}${']'.repeat(50_000)}`])(
    'gets 400 when it is not an object (%.20s)',
    async (body) => {
      for (const path of ['/create_item', '/stock_management']) {
        const { response, sent } = post(body, JSON_TYPE, path)
        const { status, body: problem } = await response
        expect(status).toBe(400)
        expect(problem).toMatchObject({ type: 'urn:ims:problem:invalid-body', detail: 'Not valid: the body.' })
        expect(problem.errors).toEqual([{ path: '', message: expect.stringContaining('expected object') }])
        expect(sent(path.slice(1))).toEqual([])
      }
    },
  )

  it('gets 400 with the name of each missing member', async () => {
    const { response } = post('{"__proto__": {"sku": "a", "name": "b"}}')
    const { status, body } = await response
    expect(status).toBe(400)
    expect(body).toEqual({
      type: 'urn:ims:problem:invalid-body',
      title: 'The body is not valid',
      status: 400,
      detail: 'Not valid: sku, name, label, price, quantity.',
      errors: ['sku', 'name', 'label', 'price', 'quantity'].map((path) => ({ path, message: 'is required' })),
    })
  })

  it.each([
    ['sku', 'x'.repeat(21)],
    ['sku', ''],
    ['sku', ' a'],
    ['sku', 'a\tb'],
    ['sku', 123],
    ['sku', null],
    ['sku', ['a']],
    ['sku', { a: 1 }],
    ['sku', '\ud800'],
    ['name', 'x'.repeat(101)],
    ['name', 'a\u0000b'],
    ['label', 'x'.repeat(51)],
    ['label', true],
    ['price', -0.01],
    ['price', 'abc'],
    ['price', ''],
    ['price', -0.00001],
    ['price', true],
    ['price', 1e308],
    ['price', 100_000_000_000],
    ['price', null],
    ['quantity', -1],
    ['quantity', 2.5],
    ['quantity', '2.5'],
    ['quantity', 'x'],
    ['quantity', 2_147_483_648],
  ])('gets 400 that names the invalid member %s (%j), and no other', async (member, value) => {
    const { response, sent } = post(JSON.stringify({ ...apple, [member]: value }))
    const { status, body } = await response
    expect(status).toBe(400)
    expect(body.errors.map(({ path }: { path: string }) => path)).toContain(member)
    expect(body.errors.every(({ path }: { path: string }) => path === member)).toBe(true)
    expect(sent('create_item')).toEqual([])
  })

  it.each([
    ['too large for a double', `{"price": 1e400, ${JSON.stringify({ ...apple, price: undefined }).slice(1)}`],
    [
      'an integer of 5,000 digits',
      `{"price": ${'9'.repeat(5_000)}, ${JSON.stringify({ ...apple, price: undefined }).slice(1)}`,
    ],
  ])('gets 400 when the price is %s', async (_, body) => {
    const { status, body: problem } = await post(body).response
    expect(status).toBe(400)
    expect(problem.errors).toEqual([{ path: 'price', message: expect.any(String) }])
  })

  it('gets 400 and sends no delete when the sku is a number', async () => {
    const { response, sent } = post('{"sku": 0}', JSON_TYPE, '/stock_management')
    expect((await response).status).toBe(400)
    expect(sent('stock_management')).toEqual([])
  })

  it('gets 413 when it is larger than the limit', async () => {
    const { response, sent } = post(JSON.stringify({ ...apple, name: 'x'.repeat(5_000_000) }))
    const { status, body } = await response
    expect(status).toBe(413)
    expect(body.detail).toBe('The body may have at most 102400 bytes.')
    expect(sent('create_item')).toEqual([])
  })
})
