// JSON that parsers interpret differently, or that can harm a parser, is rejected. If a member is the cause, the error names it.
import { describe, expect, it } from '@jest/globals'
import { parseJson } from '../src/json.ts'
import { DEPTH_MAX } from '../src/json-suspicion.ts'

const parsed = (text: string | Buffer) => parseJson(Buffer.from(text))
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

describe('a repeated member', () => {
  it.each([
    ['{"sku":"a","sku":"b"}', 'sku'],
    ['{"sku":"a","sku":"a"}', 'sku'],
    ['{"sku":"a","\\u0073ku":"b"}', 'sku'],
    ['{"a":{"price":1 , "price" :2}}', 'price'],
    ['[{"name":"10:30"},{"name":"a:b","name":"c"}]', 'name'],
    ['{"":1,"":2}', ''],
    ['{"a\\"b":1,"a\\"b":2}', 'a"b'],
    ['{"1":1,"1":2}', '1'],
    ['{"length":1,"toString":2,"toString":3}', 'toString'],
  ])('is rejected in %s', (text, name) => {
    expect(parsed(text)).toEqual({ ok: false, reason: 'invalid', error: `${name}: the member appears more than once` })
  })

  it('is named correctly although V8 can confuse an escaped name with the one it expects', () => {
    parsed('{"odd":1,"\\\\":1}')
    expect(parsed('{"odd":1,"\\u006fdd":2}')).toMatchObject({ error: expect.stringMatching(/^odd: /) })
  })

  it.each([
    '{"a":{"sku":1},"b":{"sku":2}}',
    '[{"sku":1},{"sku":2}]',
    '{"sku":"sku","name":"\\"sku\\":"}',
    '{"name":":::\\\\","label":"{\\"name\\":1}"}',
    '{"a":"b\\\\","c":":"}',
    '{"sku":{"sku":{"sku":":"}}}',
    '"a:b"',
    '[":", ":"]',
    '{}',
  ])('is not found in %s', (text) => {
    expect(parsed(text)).toEqual({ ok: true, value: JSON.parse(text) })
  })
})

describe('a member that could change a prototype', () => {
  it.each([
    ['{"__proto__":{"sku":"x"}}', '__proto__'],
    ['{"__proto__":null}', '__proto__'],
    ['{"\\u005f_proto__":1}', '__proto__'],
    ['{"a":[{"__proto__":[]}]}', '__proto__'],
    ['{"constructor":{"prototype":{"sku":"x"}}}', 'constructor'],
  ])('is rejected in %s', (text, name) => {
    expect(parsed(text)).toEqual({ ok: false, reason: 'invalid', error: `${name}: no member may have this name` })
    expect(Object.hasOwn(Object.prototype, 'sku')).toBe(false)
  })

  it('is not found in a member named constructor whose value has no member named prototype', () => {
    expect(parsed('{"constructor":"Bob"}')).toMatchObject({ ok: true })
  })
})

describe('nesting', () => {
  it(`is rejected beyond ${DEPTH_MAX} levels`, () => {
    expect(parsed(nested(DEPTH_MAX))).toMatchObject({ ok: true })
    expect(parsed(nested(DEPTH_MAX + 1))).toMatchObject({ reason: 'invalid', error: expect.stringMatching(/^body: /) })
    expect(parsed(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)).toMatchObject({ reason: 'invalid' })
  })
})

describe('bytes', () => {
  it.each([
    ['no byte', Buffer.alloc(0)],
    ['a byte that is not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['an overlong form', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['half a character', Buffer.from([0x22, 0xe2, 0x82])],
    ['UTF-16', Buffer.from('{}', 'utf16le')],
    ['two byte order marks', Buffer.from('\ufeff\ufeff{}')],
    ['a byte order mark alone', Buffer.from('\ufeff')],
    ['gzip', Buffer.from([0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0])],
    ['NaN', Buffer.from('NaN')],
    ['two values', Buffer.from('{}{}')],
    ['a control character in a string', Buffer.from('"\n"')],
  ])('are rejected as not JSON: %s', (_, bytes) => {
    expect(parsed(bytes)).toMatchObject({ ok: false, reason: 'not-json' })
  })

  it('may start with one byte order mark', () => {
    expect(parsed('\ufeff{"a":1}')).toEqual({ ok: true, value: { a: 1 } })
  })
})
