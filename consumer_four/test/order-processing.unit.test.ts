// Consumer four: pages, the whole list for a Python peer, and one query for identical requests.
import type { Delivery } from '@ims/messaging'
import type { Inventory } from '@ims/repository'
import { describe, expect, it } from '@jest/globals'
import { listItems } from '../src/order-processing.ts'

const items = Array.from({ length: 12_000 }, (_, n) => ({
  sku: `S${n}`,
  name: 'n',
  label: n % 2 ? 'odd' : 'even',
  price: 1.5,
  quantity: n,
}))

function inventory() {
  const requests: Parameters<Inventory['page']>[0][] = []
  const page: Inventory['page'] = async (request) => {
    requests.push(request)
    const end = request.after + request.limit
    return { items: items.slice(request.after, end), next: end < items.length ? end : 0 }
  }
  return { requests, page }
}
const delivery = (headers: Record<string, unknown> = {}): Delivery => ({
  body: [],
  messageId: undefined,
  redelivered: false,
  redrives: 0,
  fingerprint: '',
  headers,
})
const body = (outcome: unknown) => JSON.parse(String((outcome as { body: Buffer }).body))

describe('a listing', () => {
  it('is one page for a request with x-limit, with the start of the next page in x-next', async () => {
    const [outcome] = await listItems(inventory(), { maxBytes: 1e6 })([delivery({ 'x-limit': 3, 'x-after': 2 })])
    expect(body(outcome)).toEqual(items.slice(2, 5))
    expect(outcome).toMatchObject({ kind: 'answered', headers: { 'x-next': 5, 'x-count': 3 } })
  })

  it('is complete, without x-next, for a request without x-limit', async () => {
    const [outcome] = await listItems(inventory(), { maxBytes: 1e7 })([delivery()])
    expect(body(outcome)).toEqual(items)
    expect(outcome).toHaveProperty('headers', {})
  })

  it('is refused as too-large when the whole list exceeds the maximum size', async () => {
    const [outcome] = await listItems(inventory(), { maxBytes: 10_000 })([delivery()])
    expect(outcome).toMatchObject({ kind: 'refused', reason: 'too-large' })
  })

  it('runs one query for identical requests, and passes the filter on', async () => {
    const pages = inventory()
    const outcomes = await listItems(pages, { maxBytes: 1e6 })([
      delivery({ 'x-limit': 3 }),
      delivery({ 'x-limit': 3 }),
      delivery({ 'x-limit': 4 }),
      delivery({ 'x-limit': 3, 'x-label': 'odd' }),
      delivery({ 'x-limit': 3, 'x-quantity-below': 2 }),
    ])
    expect(outcomes).toHaveLength(5)
    expect(pages.requests).toEqual([
      { after: 0, limit: 3 },
      { after: 0, limit: 4 },
      { after: 0, limit: 3, label: 'odd' },
      { after: 0, limit: 3, quantityBelow: 2 },
    ])
  })

  it.each([
    [{ 'x-limit': 0 }],
    [{ 'x-limit': 5_001 }],
    [{ 'x-limit': '3' }],
    [{ 'x-limit': 3, 'x-after': -1 }],
    [{ 'x-sku': 5 }],
    [{ 'x-quantity-below': '5' }],
  ])('rejects the headers %j', async (headers) => {
    const [outcome] = await listItems(inventory(), { maxBytes: 1e6 })([delivery(headers)])
    expect(outcome).toMatchObject({ kind: 'refused', reason: 'invalid', error: expect.stringContaining('header x-') })
  })
})
