// GET /order_processing with a Python consumer four, which always sends the whole list in its own order.
import { describe, expect, it } from '@jest/globals'
import request from 'supertest'
import { appUnderTest } from './app-under-test.ts'
import { pythonConsumerFour, repliesWith, rowsOf, shown } from './consumer-four.ts'

const rows = rowsOf(25)

async function listing(query = '', environment: Record<string, string> = {}) {
  const { app, rabbitmq } = appUnderTest({ environment })
  await pythonConsumerFour(rabbitmq, rows)
  return await request(app).get(`/order_processing${query}`)
}

describe("a Python peer's list", () => {
  it('is returned like a list of our own consumer four: compact JSON, five members in order, sorted by id', async () => {
    const response = await listing('', { LIST_PAGE_ITEMS: '3' })
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.text).toBe(JSON.stringify(rows.map(shown)))
  })

  it('keeps NULL members', async () => {
    const { app, rabbitmq } = appUnderTest()
    await repliesWith(
      rabbitmq,
      '[{"id": 1, "price": null, "quantity": null, "label": null, "name": null, "sku": null}]',
    )
    const response = await request(app).get('/order_processing')
    expect(response.text).toBe('[{"sku":null,"name":null,"label":null,"price":null,"quantity":null}]')
  })

  it('does not include an item without a quantity if ?quantity_below= is given', async () => {
    const { app, rabbitmq } = appUnderTest()
    await repliesWith(
      rabbitmq,
      '[{"id": 1, "price": null, "quantity": null, "label": null, "name": null, "sku": null}]',
    )
    expect((await request(app).get('/order_processing?quantity_below=5')).text).toBe('[]')
  })

  it('is [] when there are no items', async () => {
    const { app, rabbitmq } = appUnderTest()
    await repliesWith(rabbitmq, '[]')
    expect((await request(app).get('/order_processing')).text).toBe('[]')
  })

  it.each([
    ['sku=sku-3', rows.filter(({ sku }) => sku === 'sku-3')],
    ['label=%C3%BCnpaar', rows.filter(({ label }) => label === 'ünpaar')],
    ['label=%C3%BCnpaar&sku=sku-2', []],
    ['after=11', rows.filter(({ id }) => id > 11)],
    ['quantity_below=3', rows.filter(({ quantity }) => quantity < 3)],
  ])('is filtered by ?%s', async (query, expected) => {
    const response = await listing(`?${query}`)
    expect(response.body).toEqual(expected.map(shown))
    expect(response.headers).not.toHaveProperty('link')
  })

  it('is limited to one page, with a link to the next', async () => {
    const response = await listing('?limit=2&after=8&label=even')
    expect(response.body).toEqual([rows[4], rows[6]].map((row) => row && shown(row)))
    expect(response.headers.link).toBe('</order_processing?limit=2&after=20&label=even>; rel="next"')
  })

  it('has no link on its last page', async () => {
    const response = await listing('?limit=5&after=59')
    expect(response.body).toEqual(rows.slice(20).map(shown))
    expect(response.headers).not.toHaveProperty('link')
  })
})
