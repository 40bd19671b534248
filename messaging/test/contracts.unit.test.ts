// The schemas of create_item, stock_management and order_processing, member by member.
import { describe, expect, it } from '@jest/globals'
import { createItem, orderProcessing, stockManagement } from '../src/contracts.ts'

const good = { sku: 'IB123456789', name: 'Tropicana Apple Juice', label: 'juice', price: 25.0, quantity: 50 }
const problems = (body: unknown) => createItem.body.safeParse(body).error?.issues.map(({ path }) => path.join('.'))

describe('create_item', () => {
  it('accepts the item of the original suite, and ignores undocumented members', () => {
    expect(createItem.body.parse({ ...good, colour: 'green' })).toEqual(good)
  })

  it.each([
    ['a sku of 20 characters', { sku: 'x'.repeat(20) }],
    ['a sku of 20 emoji, which are 40 UTF-16 units', { sku: '🍎'.repeat(20) }],
    ['a name of 100 characters', { name: '語'.repeat(100) }],
    ['a space within a sku', { sku: 'a b' }],
    ['the price 0', { price: 0 }],
    ['the highest price', { price: 99999999999.9999 }],
    ['a price with 4 decimals', { price: 0.0001 }],
    ['a price in a string', { price: '25.00' }],
    ['a price with more than 4 decimals', { price: 10 / 3 }],
    ['the price 19.99, which has no exact binary form', { price: 19.99 }],
    ['the highest quantity', { quantity: 2147483647 }],
    ['the quantity 3.0', { quantity: 3.0 }],
    ['a quantity in a string', { quantity: '50' }],
    ['a line break in the name', { name: 'a\nb' }],
  ])('accepts %s', (_, change) => {
    expect(problems({ ...good, ...change })).toBeUndefined()
  })

  it.each([
    ['sku', { sku: '' }],
    ['sku', { sku: 'x'.repeat(21) }],
    ['sku', { sku: '🍎'.repeat(21) }],
    ['sku', { sku: 'x ' }],
    ['sku', { sku: '\u3000x' }],
    ['sku', { sku: 'a\tb' }],
    ['sku', { sku: 5 }],
    ['sku', { sku: null }],
    ['sku', { sku: '\ud800' }],
    ['name', { name: '' }],
    ['name', { name: 'x'.repeat(101) }],
    ['name', { name: 'a\u0000' }],
    ['label', { label: 'x'.repeat(51) }],
    ['price', { price: -0.01 }],
    ['price', { price: 100000000000 }],
    ['price', { price: -0.00001 }],
    ['price', { price: 99_999_999_999.99995 }],
    ['price', { price: '100000000000' }],
    ['price', { price: '1e400' }],
    ['price', { price: '-1' }],
    ['price', { price: 'abc' }],
    ['price', { price: '' }],
    ['price', { price: '0x10' }],
    ['price', { price: '1_000' }],
    ['price', { price: 'NaN' }],
    ['price', { price: 'Infinity' }],
    ['price', { price: Number.NaN }],
    ['price', { price: Number.POSITIVE_INFINITY }],
    ['price', { price: true }],
    ['price', { price: null }],
    ['price', { price: [5] }],
    ['price', { price: {} }],
    ['price', { price: undefined }],
    ['quantity', { quantity: 2147483648 }],
    ['quantity', { quantity: -1 }],
    ['quantity', { quantity: 1.5 }],
    ['quantity', { quantity: '1.5' }],
    ['quantity', { quantity: '2147483648' }],
    ['quantity', { quantity: '-1' }],
    ['quantity', { quantity: 'x' }],
    ['quantity', { quantity: '' }],
    ['quantity', { quantity: false }],
    ['quantity', { quantity: null }],
    ['quantity', { quantity: ['1'] }],
    ['quantity', { quantity: undefined }],
  ])('rejects %s as invalid: %j', (member, change) => {
    expect(problems({ ...good, ...change })).toContain(member)
  })

  it('names every invalid or missing member at once', () => {
    expect(new Set(problems({ sku: '', price: 'x' }))).toEqual(new Set(['sku', 'name', 'label', 'price', 'quantity']))
  })

  it.each([
    [{ price: 'abc' }, 'price', 'must be a number, or a decimal number in a string'],
    [{ price: -0.00001 }, 'price', 'must not be negative'],
    [{ price: 99_999_999_999.99995 }, 'price', 'must be at most 99999999999.9999'],
    [{ quantity: '2.5' }, 'quantity', 'must be a whole number'],
    [{ quantity: 2 ** 31 }, 'quantity', 'must be at most 2147483647'],
  ])('explains what is wrong with %j', (change, member, message) => {
    const issues = createItem.body.safeParse({ ...good, ...change }).error?.issues
    expect(issues).toMatchObject([{ path: [member], message }])
  })

  it('parses the price and the quantity to numbers, and rounds the price to 4 decimals', () => {
    const read = (price: unknown, quantity: unknown) => createItem.body.parse({ ...good, price, quantity })
    expect(read(0.1 + 0.2, '50.0')).toEqual({ ...good, price: 0.3, quantity: 50 })
    expect(read('25.00', -0)).toEqual({ ...good, price: 25, quantity: 0 })
  })

  it('ignores a member named __proto__', () => {
    const body: unknown = JSON.parse(
      '{"__proto__": {"sku": "a", "name": "b", "label": "c", "price": 1, "quantity": 1}}',
    )
    expect(problems(body)).toHaveLength(5)
    expect(({} as { sku?: unknown }).sku).toBeUndefined()
  })
})

describe('stock_management', () => {
  it.each([
    [{ sku: 0 }],
    [{ sku: true }],
    [{ sku: ['x'] }],
    [{ sku: 'x'.repeat(21) }],
    [{ sku: '\ud800' }],
    [{}],
    [[]],
    ['x'],
    [null],
  ])('rejects %j', (body) => {
    expect(stockManagement.body.safeParse(body).success).toBe(false)
  })

  it.each(['', ' ', 'SKU-7 ', ' SKU-8', 'SKU\t1', 'a\u0000b', '\u007f\u0085\u2028', '🍎'.repeat(20), null])(
    'accepts the sku %j, because the table can contain it',
    (sku) => {
      expect(stockManagement.body.parse({ sku })).toEqual({ sku })
    },
  )
})

describe('order_processing', () => {
  it('accepts rows with NULLs, and drops undocumented members', () => {
    const row = { id: 1, sku: null, name: 'n', label: null, price: 25.5, quantity: null }
    expect(orderProcessing.reply.parse([row])).toEqual([
      { sku: null, name: 'n', label: null, price: 25.5, quantity: null },
    ])
  })
})
