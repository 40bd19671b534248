// Bodies that are accepted as JSON, in the types and encodings that the Python suite accepts.
import { describe, expect, it } from '@jest/globals'
import { apple, post } from './app-under-test.ts'

const utf16be = (text: string) => Buffer.from(text, 'utf16le').swap16()
const utf32 = (text: string, order: 'LE' | 'BE') => {
  const codePoints = [...text].map((character) => character.codePointAt(0) ?? 0)
  const bytes = Buffer.alloc(codePoints.length * 4)
  for (const [at, codePoint] of codePoints.entries())
    order === 'LE' ? bytes.writeUInt32LE(codePoint, at * 4) : bytes.writeUInt32BE(codePoint, at * 4)
  return bytes
}

describe('an accepted body', () => {
  it.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json; charset=latin1',
    'application/json;charset="utf-16"',
    'application/vnd.api+json',
    'application/problem+JSON; a=b',
  ])('may be of type %s', async (type) => {
    const { response, sent } = post(JSON.stringify({ ...apple, name: 'é😀' }), type)
    expect((await response).status).toBe(200)
    expect(sent('create_item')).toEqual([{ ...apple, name: 'é😀' }])
  })

  const item = { ...apple, name: 'Сок é😀' }
  const json = JSON.stringify(item)
  it.each([
    ['UTF-8', Buffer.from(json)],
    ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${json}`)],
    ['UTF-16LE', Buffer.from(json, 'utf16le')],
    ['UTF-16LE with a byte order mark', Buffer.from(`\ufeff${json}`, 'utf16le')],
    ['UTF-16BE', utf16be(json)],
    ['UTF-16BE with a byte order mark', utf16be(`\ufeff${json}`)],
    ['UTF-32LE', utf32(json, 'LE')],
    ['UTF-32LE with a byte order mark', utf32(`\ufeff${json}`, 'LE')],
    ['UTF-32BE', utf32(json, 'BE')],
    ['UTF-32BE with a byte order mark', utf32(`\ufeff${json}`, 'BE')],
  ])('may be in %s', async (_, body) => {
    const { response, sent } = post(body)
    expect((await response).status).toBe(200)
    expect(sent('create_item')).toEqual([item])
  })

  it('may repeat a member, and the last value is used', async () => {
    const { response, sent } = post(`{"sku":"first",${json.slice(1)}`)
    expect((await response).status).toBe(200)
    expect(sent('create_item')).toEqual([item])
  })

  it('may be exactly as long as the limit', async () => {
    const short = JSON.stringify({ ...apple, more: '' })
    const { response } = post(JSON.stringify({ ...apple, more: 'x'.repeat(102_400 - short.length) }))
    expect((await response).status).toBe(200)
  })

  it('may contain __proto__, constructor and deep nesting, which are ignored', async () => {
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    const more = '"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}'
    const { response, sent } = post(`{${more},"deep":${deep},${JSON.stringify(apple).slice(1)}`)
    expect((await response).status).toBe(200)
    expect(sent('create_item')).toEqual([apple])
    expect({}).not.toHaveProperty('polluted')
  })
})
