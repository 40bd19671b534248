// The unit for property tests on any text: `fc.string({ unit: anyCharacter })`. It generates the same cases as fast-check's 'binary'.
// That unit first lists all characters, which takes a second in each test file.
import fc from 'fast-check'

const SURROGATES_FROM = 0xd800
const SURROGATES = 0x800

/** Any code point except surrogates. */
export const anyCharacter = fc
  .integer({ min: 0, max: 0x10_ffff - SURROGATES })
  .map((n) => String.fromCodePoint(n < SURROGATES_FROM ? n : n + SURROGATES), numberOf)

/** Lets fast-check use and shrink its own special strings, such as `__proto__`. */
function numberOf(character: unknown): number {
  const code = typeof character === 'string' ? character.codePointAt(0) : undefined
  if (code === undefined || String.fromCodePoint(code) !== character) throw new Error('not one character')
  if (code >= SURROGATES_FROM && code < SURROGATES_FROM + SURROGATES) throw new Error('a surrogate')
  return code < SURROGATES_FROM ? code : code - SURROGATES
}
