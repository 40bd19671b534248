// JSON that parsers interpret differently, or that is crafted to harm one, is rejected with a sentence that names the member.
import { describe, expect, it } from '@jest/globals'
import { parseJson } from '../src/json.ts'
import { DEPTH_MAX } from '../src/json-suspicion.ts'

const parsed = (text: string | Buffer) => parseJson(Buffer.from(text))
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

describe('members named more than once', () => {
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
  ])('%s is rejected', (text, name) => {
    expect(parsed(text)).toEqual({ ok: false, reason: 'invalid', error: `${name}: the member is there more than once` })
  })

  it('are detected by name, even where V8 confuses an escaped name with the expected one', () => {
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
  ])('%s has none, with or without colons', (text) => {
    expect(parsed(text)).toEqual({ ok: true, value: JSON.parse(text) })
  })
})

describe('names that JavaScript treats as a prototype', () => {
  it.each([
    ['{"__proto__":{"sku":"x"}}', '__proto__'],
    ['{"__proto__":null}', '__proto__'],
    ['{"\\u005f_proto__":1}', '__proto__'],
    ['{"a":[{"__proto__":[]}]}', '__proto__'],
    ['{"constructor":{"prototype":{"sku":"x"}}}', 'constructor'],
  ])('%s is rejected', (text, name) => {
    expect(parsed(text)).toEqual({ ok: false, reason: 'invalid', error: `${name}: no member may have this name` })
    expect(Object.hasOwn(Object.prototype, 'sku')).toBe(false)
  })

  it('accepts a constructor that is not a prototype', () => {
    expect(parsed('{"constructor":"Bob"}')).toMatchObject({ ok: true })
  })
})

describe('depth', () => {
  it(`is at most ${DEPTH_MAX} levels`, () => {
    expect(parsed(nested(DEPTH_MAX))).toMatchObject({ ok: true })
    expect(parsed(nested(DEPTH_MAX + 1))).toMatchObject({ reason: 'invalid', error: expect.stringMatching(/^body: /) })
    expect(parsed(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)).toMatchObject({ reason: 'invalid' })
  })
})

describe('bytes', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a byte that is no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
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
  ])('%s: not JSON', (_, bytes) => {
    expect(parsed(bytes)).toMatchObject({ ok: false, reason: 'not-json' })
  })

  it('may start with one byte order mark', () => {
    expect(parsed('\ufeff{"a":1}')).toEqual({ ok: true, value: { a: 1 } })
  })
})
