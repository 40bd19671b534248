// Paging: every request gets an outcome, and pages of any size add up to the whole list.
import type { Delivery } from '@ims/messaging'
import { inMemoryInventory } from '@ims/repository/testing'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { fuzzParameters } from 'testkit'
import { listItems } from '../src/order-processing.ts'

const runs = fuzzParameters(200)
const deliveryWith = (headers: Record<string, unknown>): Delivery => ({
  body: [],
  messageId: undefined,
  redelivered: false,
  redrives: 0,
  fingerprint: 'f',
  headers,
})
async function inventoryOf(count: number) {
  const inventory = inMemoryInventory()
  await inventory.create(
    Array.from({ length: count }, (_, n) => ({
      messageId: String(n),
      fingerprint: 'f',
      redelivered: false,
      redrives: 0,
      body: { sku: `s${n}`, name: 'n', label: n % 2 ? 'odd' : 'even', price: n, quantity: n },
    })),
  )
  return inventory
}

describe('paging', () => {
  it('returns an outcome for each request, whatever its headers', async () => {
    const value = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.string(),
      fc.constant(null),
      fc.array(fc.nat(), { maxLength: 2 }),
      fc.constant(2 ** 63),
    )
    const headers = fc.dictionary(fc.constantFrom('x-limit', 'x-after', 'x-sku', 'x-label', 'x-next'), value)
    const handler = listItems(await inventoryOf(9), { maxBytes: 10_000 })
    await fc.assert(
      fc.asyncProperty(fc.array(headers, { minLength: 1, maxLength: 5 }), async (given) => {
        const outcomes = await handler(given.map(deliveryWith))
        expect(outcomes).toHaveLength(given.length)
        for (const outcome of outcomes)
          if (outcome.kind === 'refused') expect(outcome.error).toMatch(/header x-/)
          else expect(outcome.kind).toBe('answered')
      }),
      runs,
    )
  })

  it('returns pages that add up to the whole list, with each item once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 40 }),
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom({}, { 'x-label': 'odd' }),
        async (count, limit, filter) => {
          const handler = listItems(await inventoryOf(count), { maxBytes: 1_000_000 })
          const list = async (headers: Record<string, unknown>) => {
            const [outcome] = await handler([deliveryWith(headers)])
            if (outcome?.kind !== 'answered') throw new Error('there is no reply')
            const items: unknown[] = JSON.parse(outcome.body.toString())
            return { items, next: Number(outcome.headers['x-next'] ?? 0) }
          }
          const paged: unknown[] = []
          let after = 0
          do {
            const { items, next } = await list({ ...filter, 'x-limit': limit, 'x-after': after })
            expect(items.length).toBeLessThanOrEqual(limit)
            paged.push(...items)
            after = next
          } while (after !== 0)
          expect(paged).toEqual((await list(filter)).items)
        },
      ),
      runs,
    )
  })
})
