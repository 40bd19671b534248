// A page of items: a response that contains anything but rows of the table inventory is an error.
import { describe, expect, it } from '@jest/globals'
import type { Database } from '../src/database.ts'
import { page } from '../src/page.ts'

const row = { id: 1, sku: 's', name: 'n', label: 'l', price: '1.5000', quantity: 2 }

/** A database that returns `rows` for every statement. */
const returning = (rows: unknown) => ({ use: (work) => work(async () => rows) }) as Pick<Database, 'use'>
const listed = (rows: unknown) => page(returning(rows), { after: 0, limit: 10 })

describe('a page', () => {
  it('has the five members of each item, with numbers for price and quantity', async () => {
    const rows = [row, { ...row, id: 2, price: 19.99, quantity: '9007199254740993' }]
    expect(JSON.stringify(await listed(rows))).toBe(
      '{"items":[{"sku":"s","name":"n","label":"l","price":1.5,"quantity":2},{"sku":"s","name":"n","label":"l","price":19.99,"quantity":9007199254740992}],"next":0}',
    )
  })

  it('has null where the table has NULL', async () => {
    const empty = { sku: null, name: null, label: null, price: null, quantity: null }
    expect((await listed([{ id: 1, ...empty }])).items).toEqual([empty])
  })

  it.each([
    ['a header instead of rows', { affectedRows: 1 }],
    ['null instead of a row', [null]],
    ['no id', [{ ...row, id: undefined }]],
    ['an id that is not an integer', [{ ...row, id: 1.5 }]],
    ['an id as text', [{ ...row, id: '1' }]],
    ['a number for a sku', [{ ...row, sku: 1 }]],
    ['bytes for a name', [{ ...row, name: Buffer.from('n') }]],
    ['no label', [{ ...row, label: undefined }]],
    ['a price that is neither text nor a number', [{ ...row, price: true }]],
    ['no price', [{ ...row, price: undefined }]],
    ['a quantity that is not a number', [{ ...row, quantity: 'many' }]],
    ['no quantity', [{ ...row, quantity: undefined }]],
    ['an invalid row after a valid one', [row, { ...row, quantity: {} }]],
  ])('is rejected if MySQL returns %s', async (_, rows) => {
    await expect(listed(rows)).rejects.toThrow('these are not rows of inventory')
  })
})
