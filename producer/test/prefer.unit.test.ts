// Parses the header Prefer with the grammar of RFC 7240.
import { describe, expect, it } from '@jest/globals'
import { preferredWaitS } from '../src/http/prefer.ts'

describe('Prefer', () => {
  it.each<[string, number]>([
    ['wait=5', 5],
    ['wait=0', 0],
    ['Wait = 5', 5],
    ['wait="5"', 5],
    ['wait="\\5"', 5],
    ['respond-async, wait=7', 7],
    ['wait=7, respond-async', 7],
    ['return=minimal; foo="a, wait=1", wait=3', 3],
    ['foo="say \\"hi\\", wait=1", wait=4', 4],
    ['handling=lenient;wait=9, wait=3', 3],
    ['wait=2; x=y', 2],
    [',, wait=6 ,', 6],
    ['wait=1, wait=9', 1],
    ['foo="", wait=8', 8],
    ['wait=86400', 30],
    ['wait=99999999999999999999', 30],
  ])('%s is a wait of %d s', (header, seconds) => {
    expect(preferredWaitS(header, 30)).toBe(seconds)
  })

  it.each([
    '',
    'wait',
    'wait=',
    'wait=""',
    'wait=-1',
    'wait=1.5',
    'wait=5s',
    'wait=abc',
    'wait=abc, wait=5',
    'await=5',
    'wait5',
    'respond-async',
    'foo="wait=5"',
    'foo;wait=5',
    'foo="unclosed, wait=5',
    '=5, wait=5',
  ])('%j is ignored', (header) => {
    expect(preferredWaitS(header, 30)).toBeUndefined()
  })

  it('leads to no wait if the header is missing', () => {
    expect(preferredWaitS(undefined, 30)).toBeUndefined()
  })

  it('is parsed in less than 10 seconds if it has 160,000 characters', () => {
    const since = performance.now()
    preferredWaitS(`${'a;'.repeat(80_000)}"`, 30)
    preferredWaitS(`a=${' '.repeat(160_000)}"`, 30)
    preferredWaitS(`${', '.repeat(80_000)}"`, 30)
    preferredWaitS(`a${' ; '.repeat(80_000)}"`, 30)
    expect(performance.now() - since).toBeLessThan(10_000)
  })
})
