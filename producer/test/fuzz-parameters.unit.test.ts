// The small parsers of the producer accept or reject any input, and accepted values are within their limits.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { fuzzParameters } from 'testkit'
import { anyCharacter } from 'testkit/any-character'
import { preferredWaitS } from '../src/http/prefer.ts'
import { Problem } from '../src/http/problem.ts'
import { nextPageUrl, wantedBy } from '../src/listing/listing-query.ts'

const runs = fuzzParameters(1_000)

describe('the parser of Prefer', () => {
  it('returns whole seconds up to the maximum, or nothing, for any text', () => {
    const pieces = fc.constantFrom('wait', '=', '5', '"', '\\', ',', ';', ' ', 'WAIT', 'x', '0', '-', '\t', 'wait=3')
    const header = fc.oneof(
      fc.string({ unit: anyCharacter }),
      fc.array(pieces, { maxLength: 12 }).map((each) => each.join('')),
    )
    fc.assert(
      fc.property(header, fc.nat({ max: 100 }), (text, max) => {
        const seconds = preferredWaitS(text, max)
        expect(seconds === undefined || (Number.isInteger(seconds) && seconds >= 0 && seconds <= max)).toBe(true)
      }),
      runs,
    )
  })

  it('finds the wait among other preferences, quoted or not', () => {
    const other = fc.constantFrom('respond-async', 'handling=lenient', 'x="a,b;c"', 'return=minimal; q="wait=9"')
    fc.assert(
      fc.property(
        fc.array(other, { maxLength: 3 }),
        fc.nat({ max: 99 }),
        fc.boolean(),
        fc.array(other, { maxLength: 3 }),
        (before, seconds, quoted, after) => {
          const wait = quoted ? `Wait="${seconds}"` : `wait=${seconds}`
          expect(preferredWaitS([...before, wait, ...after].join(', '), 60)).toBe(Math.min(seconds, 60))
        },
      ),
      runs,
    )
  })
})

describe('the query of a listing', () => {
  it('is accepted within limits, or rejected with 400 and a list of errors', () => {
    const value = fc.oneof(
      fc.string({ unit: anyCharacter }),
      fc.nat().map(String),
      fc.array(fc.string(), { maxLength: 2 }),
    )
    const query = fc.dictionary(
      fc.constantFrom('sku', 'label', 'quantity_below', 'q', 'limit', 'after', 'x', '__proto__'),
      value,
    )
    fc.assert(
      fc.property(query, (given) => {
        try {
          const { after, limit } = wantedBy(given)
          expect(Number.isSafeInteger(after) && after >= 0).toBe(true)
          expect(limit === undefined || (Number.isInteger(limit) && limit >= 1 && limit <= 5_000)).toBe(true)
        } catch (error) {
          if (!(error instanceof Problem)) throw error
          expect([error.status, error.details.errors?.length]).toEqual([400, expect.any(Number)])
        }
      }),
      runs,
    )
  })

  it('is kept in the URL of the next page, except for `after`', () => {
    const pairs = fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), { maxLength: 4 })
    fc.assert(
      fc.property(pairs, fc.nat(), (given, next) => {
        const parameters = new URLSearchParams(given.filter(([name]) => name !== 'after'))
        const url = new URL(nextPageUrl(`/order_processing?${parameters}`, next), 'http://x')
        expect(url.searchParams.get('after')).toBe(String(next))
        url.searchParams.delete('after')
        expect([...url.searchParams]).toEqual([...parameters])
      }),
      runs,
    )
  })
})
