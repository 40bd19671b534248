// The parsers accept decimal numbers as clients write them, and reject text that is not a number.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { fuzzParameters } from 'testkit'
import { toPrice, toWhole } from '../src/decimal.ts'

const runs = fuzzParameters(2_000)

describe('a price', () => {
  it.each([
    [0.1 + 0.2, 0.3],
    [10 / 3, 3.3333],
    [1.00005, 1],
    [1.00015, 1.0002],
    [1.00014999, 1.0001],
    [0.00005, 0],
    ['0.00005', 0],
    ['0.000050000000000000000001', 0.0001],
    ['0.00015', 0.0002],
    [1e-7, 0],
    [5e-324, 0],
    [-0, 0],
    ['-0.0', 0],
    ['25.00', 25],
    ['  25.00\t\r\n', 25],
    ['+7', 7],
    ['.5', 0.5],
    ['5.', 5],
    ['007', 7],
    ['1e3', 1_000],
    ['12.345678E-2', 0.1235],
    ['0e999', 0],
    ['1e-99999999999999999999', 0],
    ['0.'.padEnd(400, '0').concat('1e399'), 1],
    ['99999999999.9999', 99_999_999_999.9999],
    ['99999999999.99994999', 99_999_999_999.9999],
    [99_999_999_999.99994, 99_999_999_999.9999],
  ])('is parsed from %j as %j', (value, stored) => {
    expect(toPrice(value)).toBe(stored)
  })

  it.each([-0.00001, '-0.00001', '-5', -5, '-1e-400'])('is parsed from %j as negative, not rounded to 0', (value) => {
    expect(toPrice(value)).toBeLessThan(0)
  })

  it.each([99_999_999_999.99995, '99999999999.99995', '1e99999999999999999999', Number.POSITIVE_INFINITY, 1e300])(
    'is parsed from %j as more than the maximum',
    (value) => {
      expect(toPrice(value)).toBeGreaterThan(99_999_999_999.9999)
    },
  )

  it('equals the result of exact arithmetic, for any decimal number in range', () => {
    const decimal = fc.nat({ max: 30 }).chain((decimals) =>
      fc.record({
        digits: fc.bigInt({ min: 0n, max: 10n ** BigInt(11 + decimals) - 1n }),
        decimals: fc.constant(decimals),
      }),
    )
    fc.assert(
      fc.property(decimal, fc.constantFrom('plain', 'exponent'), ({ digits, decimals }, form) => {
        const plain = digits.toString().padStart(decimals + 1, '0')
        const text =
          form === 'exponent'
            ? `${digits}e-${decimals}`
            : `${plain.slice(0, plain.length - decimals)}.${plain.slice(plain.length - decimals)}`
        expect([text, toPrice(text)]).toEqual([text, Number(`${roundedExactly(digits, decimals)}e-4`)])
      }),
      runs,
    )
  })

  it('is the same for a number and for its shortest text, and does not change when it is parsed again', () => {
    const price = fc.oneof(
      fc.double({ min: 0, max: 99_999_999_999, noNaN: true }),
      fc.nat().map((units) => units / 100_000),
    )
    fc.assert(
      fc.property(price, (value) => {
        const stored = toPrice(value)
        expect(stored).toBe(toPrice(String(value)))
        expect(Math.abs((stored ?? Number.NaN) - value)).toBeLessThanOrEqual(0.00005 + value * Number.EPSILON)
        expect(toPrice(stored)).toBe(stored)
      }),
      runs,
    )
  })
})

describe('a whole number', () => {
  it.each([
    ['50', 50],
    ['50.0', 50],
    [' 5e1 ', 50],
    ['500e-1', 50],
    ['0.0', 0],
    ['-0', 0],
    [-0, 0],
    ['2147483648', 2_147_483_648],
    ['-3', -3],
    ['9'.repeat(1_000), Number.POSITIVE_INFINITY],
  ])('is parsed from %j as %j', (value, whole) => {
    expect(toWhole(value)).toBe(whole)
  })

  it.each([2.5, '2.5', '5e-1', 1e-7, '1e-99999999999999999999', `${'9'.repeat(1_000)}.1`])(
    'is not parsed from %j, which has a fraction',
    (value) => {
      expect(toWhole(value)).toBeNaN()
    },
  )
})

describe('a value that is not a number', () => {
  it.each(['', ' ', '.', 'abc', '5 5', '0x10', '1_000', '1,5', '5e', 'e5', '--5', '+-5', 'NaN', 'Infinity', '٣', '５'])(
    'is rejected: %j',
    (value) => {
      expect([toPrice(value), toWhole(value)]).toEqual([undefined, undefined])
    },
  )

  it.each([[true], [false], [null], [undefined], [[5]], [{}], [5n]])('is rejected: %p', (value) => {
    expect([toPrice(value), toWhole(value)]).toEqual([undefined, undefined])
  })

  it('is any text that JavaScript does not parse as a decimal number, and no other text', () => {
    const pieces = fc.constantFrom('1', '05', '.', 'e', 'E', '+', '-', ' ', '\t', '_', 'x', '\u00a0')
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (chosen) => {
        const text = chosen.join('')
        const isNumber = text.trim() !== '' && !/[x\u00a0]/.test(text) && Number.isFinite(Number(text))
        expect([text, toPrice(text) !== undefined]).toEqual([text, isNumber])
      }),
      runs,
    )
  })

  // A regular expression that backtracks would take longer than the timeout of the test.
  it('is rejected quickly although it has a million characters', () => {
    const long = 1_000_000
    const texts = [`${'1'.repeat(long)}x`, `1.${'1'.repeat(long)}x`, ' '.repeat(long), `5${' '.repeat(long)}x`]
    for (const text of texts) expect(toPrice(text)).toBeUndefined()
  })
})

/** The price in units of 1/10,000, by integer arithmetic. Rounds half to even. */
function roundedExactly(digits: bigint, decimals: number): bigint {
  const scale = 10n ** BigInt(decimals)
  const units = (digits * 10_000n) / scale
  const twiceRest = ((digits * 10_000n) % scale) * 2n
  return twiceRest > scale || (twiceRest === scale && units % 2n === 1n) ? units + 1n : units
}
