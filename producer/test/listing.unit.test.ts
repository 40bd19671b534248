// GET /order_processing with our own consumer four: the whole list in pages, filtered, or one page of it.
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import { type Broker, NoReply } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { z } from 'zod'
import { appUnderTest, failing } from './app-under-test.ts'
import { ourConsumerFour, pagesInTurn, repliesWith, rowsOf, shown } from './consumer-four.ts'
import { until } from './until.ts'

const rows = rowsOf(25)

/** Each query has the id of its HTTP request in a header. */
const requested = { 'x-request-id': expect.any(String) }

async function listing(path: string, environment: Record<string, string> = {}) {
  const under = appUnderTest({ environment })
  const { seen, bodies } = await ourConsumerFour(under.rabbitmq, rows)
  const response = await request(under.app).get(path)
  return { ...under, seen, bodies, response }
}

describe('GET /order_processing', () => {
  it('lists every item once, with its five members in order, as compact JSON', async () => {
    const { response, bodies } = await listing('/order_processing')
    expect(response.status).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.text).toBe(JSON.stringify(rows.map(shown)))
    expect(bodies).toEqual([['message', 'Order Processing']])
  })

  it.each([
    [1, [1, 2, 4, 5, 5, 5, 5]],
    [2, [2, 4, 8, 10, 10]],
    [7, [7, 14, 28]],
    [24, [24, 48]],
    [25, [25]],
    [26, [26]],
  ])('joins pages into one array when the first page has %d items', async (items, limits) => {
    const { response, seen } = await listing('/order_processing', { LIST_PAGE_ITEMS: String(items) })
    expect(response.text).toBe(JSON.stringify(rows.map(shown)))
    expect(seen.map((headers) => headers['x-limit'])).toEqual(limits)
    expect(seen[0]).toEqual({ 'x-after': 0, 'x-limit': items, ...requested })
  })

  it('limits a page to an eighth of the free memory', async () => {
    // The producer assumes items of 200 bytes. One page leaves some memory free, and three items fit into an eighth of that.
    const under = appUnderTest({ environment: { LIST_PAGE_ITEMS: '2' }, limits: { pagesMaxBytes: 6_400 } })
    const { seen } = await ourConsumerFour(under.rabbitmq, rows)
    expect((await request(under.app).get('/order_processing')).body).toEqual(rows.map(shown))
    expect(new Set(seen.map((headers) => headers['x-limit']))).toEqual(new Set([2, 3]))
  })

  it('returns 503 while pages with a total of 500,000 items are pending, except for short lists, and accepts pages again afterwards', async () => {
    const waiting: ((error: Error) => void)[] = []
    const broker = {
      requester: {
        ...failing(new NoReply('')).requester,
        request: () => new Promise<never>((_, reject) => void waiting.push(reject)),
      },
    }
    const { app } = appUnderTest({ broker, limits: { pagesMaxBytes: 500_000_000 } })
    const page = (after: number) => request(app).get(`/order_processing?limit=5000&after=${after}`)
    const asked = Array.from({ length: 100 }, (_, n) => page(n).then(({ status }) => status))
    await until(() => waiting.length === 100)
    const refused = await page(100)
    expect(refused.status).toBe(503)
    expect(refused.headers['retry-after']).toMatch(/^\d+$/)
    expect(refused.body).toMatchObject({ type: 'urn:ims:problem:not-accepted', reason: 'over-limit' })
    const small = ['limit=100&label=few', 'sku=one'].map((query) => request(app).get(`/order_processing?${query}`))
    const served = small.map((each) => each.then(({ status }) => status))
    await until(() => waiting.length === 102)
    for (const reject of waiting.splice(0)) reject(new NoReply('late'))
    expect(new Set(await Promise.all([...asked, ...served]))).toEqual(new Set([504]))
    const again = page(100).then(({ status }) => status)
    await until(() => waiting.length === 1)
    waiting[0]?.(new NoReply('late'))
    expect(await again).toBe(504)
  })

  it('frees the memory of a page that arrives after one of its clients has disconnected', async () => {
    const waiting: (() => void)[] = []
    const large = rows.map((row) => ({ ...shown(row), name: 'x'.repeat(2_000) }))
    const raw = Buffer.from(JSON.stringify(large))
    const requester: Broker['requester'] = {
      ...failing(new NoReply('')).requester,
      request: async (query) => {
        await new Promise<void>((resolve) => void waiting.push(resolve))
        const headers = { 'x-next': 0, 'x-count': rows.length }
        return { body: () => query.reply.parse(large), raw, headers }
      },
    }
    // An eighth is for short lists. It is less than the page needs, so no further list is accepted while the page counts.
    const { app, lines } = appUnderTest({ broker: { requester }, limits: { pagesMaxBytes: 200_000 } })
    const path = '/order_processing?limit=50'
    const list = () => request(app).get(path)
    const first = list().then(({ status }) => status)
    await until(() => waiting.length === 1)
    // Both wait for the next page, because the one in flight may be older than their requests.
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = z.object({ port: z.int() }).parse(server.address())
    const leaving = get({ port, path, host: '127.0.0.1' }).on('error', () => {})
    const staying = list().then(({ status }) => status)
    await until(() => waiting.length === 2)
    leaving.destroy()
    await until(() => lines.some(({ message }) => message === 'request'))
    for (const answer of waiting.splice(0)) answer()
    expect(await Promise.all([first, staying])).toEqual([200, 200])
    const again = list().then(({ status }) => status)
    await until(() => waiting.length === 1 || lines.filter(({ message }) => message === 'request').length === 4)
    waiting[0]?.()
    expect(await again).toBe(200)
    server.close()
  })

  it.each(['q', 'label', 'sku', 'quantity_below', 'after', 'limit'])(
    'gives clients that ask at the same time with another ?%s= their own items',
    async (name) => {
      const requester: Broker['requester'] = {
        ...failing(new NoReply('')).requester,
        request: async (query, _body, { headers = {} }) => {
          const { 'x-request-id': _, ...asked } = headers
          const json = JSON.stringify([{ sku: 'a', name: JSON.stringify(asked), label: 'b', price: 1, quantity: 0 }])
          // Long enough that the other requests arrive meanwhile.
          await new Promise((resolve) => setTimeout(resolve, 50))
          const echoed = asked['x-q'] === undefined ? {} : { 'x-q': asked['x-q'] }
          const body = () => query.reply.parse(JSON.parse(json))
          return { body, raw: Buffer.from(json), headers: { 'x-next': 0, 'x-count': 1, ...echoed } }
        },
      }
      const { app } = appUnderTest({ broker: { requester } })
      const values = ['1', '2', '3', '4']
      const list = async (value: string) => (await request(app).get(`/order_processing?${name}=${value}`)).text
      const alone: string[] = []
      for (const value of values) alone.push(await list(value))
      expect(new Set(alone).size).toBe(values.length)
      expect(await Promise.all(values.map(list))).toEqual(alone)
    },
  )

  it('is [] when there are no items', async () => {
    const { app, rabbitmq } = appUnderTest()
    await repliesWith(rabbitmq, '[]', { 'x-next': 0 })
    expect((await request(app).get('/order_processing')).text).toBe('[]')
  })

  it('is one array even when some pages are empty', async () => {
    const pages = ['[]', '[ ]', JSON.stringify(rows.slice(0, 2).map(shown)), '[]']
    const { app } = appUnderTest({ broker: { requester: pagesInTurn(pages) } })
    expect((await request(app).get('/order_processing')).text).toBe(JSON.stringify(rows.slice(0, 2).map(shown)))
  })

  it.each([
    ['sku=sku-3', rows.filter(({ sku }) => sku === 'sku-3'), { 'x-sku': 'sku-3' }],
    ['label=%C3%BCnpaar', rows.filter(({ label }) => label === 'ünpaar'), { 'x-label': 'ünpaar' }],
    ['label=even&sku=sku-3', [], { 'x-label': 'even', 'x-sku': 'sku-3' }],
    ['after=11', rows.filter(({ id }) => id > 11), { 'x-after': 11 }],
    ['quantity_below=3', rows.filter(({ quantity }) => quantity < 3), { 'x-quantity-below': 3 }],
    ['q=SKU-1', rows.filter(({ sku }) => sku.startsWith('sku-1')), { 'x-q': 'SKU-1' }],
    [
      'q=N%C3%A9V%20%221&label=even',
      rows.filter(({ name, label }) => name.startsWith('név "1') && label === 'even'),
      { 'x-q': 'NéV "1', 'x-label': 'even' },
    ],
    ['q=nothing', [], { 'x-q': 'nothing' }],
    ['sku=', [], { 'x-sku': '' }],
    ['label=', [], { 'x-label': '' }],
    ['sku=%20a%09%00%0d%0a%7f%20', [], { 'x-sku': ' a\t\u0000\r\n\u007f ' }],
    ['label=%20a%00', [], { 'x-label': ' a\u0000' }],
    ['colour=green&limitless=1', rows, {}],
  ])('sends the filters of ?%s to consumer four, and lists the items that match', async (query, expected, headers) => {
    const { response, seen } = await listing(`/order_processing?${query}`)
    expect(response.text).toBe(JSON.stringify(expected.map(shown)))
    expect(seen).toEqual([{ 'x-after': 0, 'x-limit': 1_000, ...requested, ...headers }])
  })

  it('lists only items with a quantity below ?quantity_below=, even if consumer four ignores the filter', async () => {
    const pages = [rows.slice(0, 2), rows.slice(5, 7), rows.slice(2, 4)].map((page) => JSON.stringify(page.map(shown)))
    const { app } = appUnderTest({ broker: { requester: pagesInTurn(pages) } })
    const response = await request(app).get('/order_processing?quantity_below=3')
    expect(response.body).toEqual(rows.slice(0, 3).map(shown))
  })

  it('lists only items that contain the text of ?q=, even if consumer four does not search', async () => {
    const pages = [rows.slice(0, 2), rows.slice(5, 7)].map((page) => JSON.stringify(page.map(shown)))
    const { app } = appUnderTest({ broker: { requester: pagesInTurn(pages) } })
    expect((await request(app).get('/order_processing?q=U-5')).body).toEqual([rows[5]].map((row) => row && shown(row)))
  })

  it('keeps the filters on every page', async () => {
    const { response, seen } = await listing('/order_processing?label=even', { LIST_PAGE_ITEMS: '5' })
    expect(response.text).toBe(JSON.stringify(rows.filter(({ label }) => label === 'even').map(shown)))
    expect(seen).toHaveLength(2)
    expect(seen.every((headers) => headers['x-label'] === 'even')).toBe(true)
  })

  it('returns one page, and a link to the next with all other parameters', async () => {
    const { response, seen } = await listing('/order_processing?limit=3&label=even&x=%C3%BC%3E')
    expect(response.body).toEqual(
      rows
        .filter(({ label }) => label === 'even')
        .slice(0, 3)
        .map(shown),
    )
    expect(response.headers.link).toBe('</order_processing?limit=3&label=even&x=%C3%BC%3E&after=14>; rel="next"')
    expect(seen).toEqual([{ 'x-after': 0, 'x-limit': 3, ...requested, 'x-label': 'even' }])
  })

  it('keeps a filter with control characters in the link to the next page', async () => {
    const { app, rabbitmq } = appUnderTest()
    const label = ' \u0000\r\nX: y '
    await ourConsumerFour(
      rabbitmq,
      rows.map((row) => ({ ...row, label })),
    )
    const response = await request(app).get(`/order_processing?limit=24&label=${encodeURIComponent(label)}`)
    const next = /^<(.*)>; rel="next"$/.exec(response.headers.link ?? '')?.[1] ?? ''
    expect(new URL(next, 'http://a').searchParams.get('label')).toBe(label)
    expect((await request(app).get(next)).body).toHaveLength(1)
  })

  it('lists every item when a client follows the links', async () => {
    const { app, rabbitmq } = appUnderTest()
    await ourConsumerFour(rabbitmq, rows)
    const items: unknown[] = []
    let pages = 0
    for (let url: string | undefined = '//order_processing?limit=4'; url !== undefined; pages += 1) {
      const response: request.Response = await request(app).get(url)
      items.push(...response.body)
      url = /^<(.*)>; rel="next"$/.exec(response.headers.link ?? '')?.[1]
    }
    expect(items).toEqual(rows.map(shown))
    expect(pages).toBe(7)
  })

  it('has no link on the last page', async () => {
    const { response } = await listing('/order_processing?limit=25')
    expect(response.body).toHaveLength(25)
    expect(response.headers).not.toHaveProperty('link')
  })

  it.each([
    ['limit=0', 'limit'],
    ['limit=5001', 'limit'],
    ['limit=abc', 'limit'],
    ['limit=', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['after=-1', 'after'],
    ['quantity_below=-1', 'quantity_below'],
    ['quantity_below=few', 'quantity_below'],
    ['q=', 'q'],
    [`q=${'x'.repeat(101)}`, 'q'],
    ['q=a%00b', 'q'],
    ['q=a&q=b', 'q'],
    ['after=1.5', 'after'],
    ['after=99999999999999999999', 'after'],
    ['sku=123456789012345678901', 'sku'],
    ['sku=a&sku=b', 'sku'],
    [`label=${'x'.repeat(51)}`, 'label'],
  ])('rejects ?%s with 400', async (query, parameter) => {
    const { response, seen } = await listing(`/order_processing?${query}`)
    expect(response.status).toBe(400)
    expect(response.body).toMatchObject({ type: 'urn:ims:problem:invalid-query', detail: `Not valid: ${parameter}.` })
    expect(response.body.errors[0].path).toBe(parameter)
    expect(seen).toEqual([])
  })

  it('names every invalid parameter', async () => {
    const { response } = await listing('/order_processing?limit=0&after=x&sku=123456789012345678901')
    expect(response.body.errors.map(({ path }: { path: string }) => path).sort()).toEqual(['after', 'limit', 'sku'])
  })

  const page = JSON.stringify(rows.map(shown))
  it.each<[string, Buffer | string, Record<string, string | number>]>([
    ['is not JSON', 'nonsense', {}],
    ['is not an array', '{"a":1}', {}],
    ['is an array of something else', '[1,2]', {}],
    ['is an array of something else, in pages', '[1,2]', { 'x-next': 0 }],
    ['is an array of something else, in counted pages', '[1,2]', { 'x-next': 0, 'x-count': 2 }],
    ['has fewer items than x-count', page.slice(0, -1), { 'x-next': 0, 'x-count': 25 }],
    ['has more items than x-count', page, { 'x-next': 0, 'x-count': 24 }],
    ['is not UTF-8', Buffer.from(page, 'latin1'), { 'x-next': 0, 'x-count': 25 }],
    ['has an invalid x-count', page, { 'x-next': 0, 'x-count': 'many' }],
    ['is empty', '', {}],
    ['has items without id, and no next page', JSON.stringify(rows.map(shown)), {}],
    ['has an invalid x-next', '[]', { 'x-next': 'soon' }],
    ['is an error', '{"error":"too large"}', { 'x-error': 'too-large' }],
  ])('is 502 when the reply %s', async (_, body: Buffer | string, headers: Record<string, string | number>) => {
    const { app, rabbitmq } = appUnderTest()
    await repliesWith(rabbitmq, body, headers)
    const response = await request(app).get('/order_processing')
    expect(response.status).toBe(502)
    expect(response.body).toMatchObject({ type: 'urn:ims:problem:bad-reply' })
  })

  it('is 504 when no reply arrives in time', async () => {
    const { app } = appUnderTest({ environment: { RPC_TIMEOUT_MS: '20' } })
    expect((await request(app).get('/order_processing')).status).toBe(504)
  })
})
