// API keys: the lines that define them, and how the key of a request is found.
import { createHash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import { holderOf, keysOrOpen, readKeys } from '../src/http/api-keys.ts'

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')
const problemsOf = (text: string) => keysOrOpen.safeParse(text).error?.issues.map(({ message }) => message)

describe('the lines of API_KEYS', () => {
  it('each contain a name, scopes and a SHA-256, except for comments and empty lines, which are ignored', () => {
    const keys = readKeys(
      `# shop\n\nshop  read,write\t${sha256('one')}\r\nops admin ${sha256('two').toUpperCase()}\n`,
    ).keys
    expect(keys.map(({ name, scopes }) => [name, [...scopes]])).toEqual([
      ['shop', ['read', 'write']],
      ['ops', ['admin']],
    ])
  })

  it('may be separated by semicolons instead of line breaks', () => {
    expect(readKeys(`a read ${sha256('1')}; b write ${sha256('2')};`).keys).toHaveLength(2)
  })

  it.each([
    ['', 'has no key in it'],
    ['# nothing\n\n', 'has no key in it'],
    ['shop read', 'line 1: a line has the name'],
    [`\nshop read ${sha256('one')} more`, 'line 2: a line has the name'],
    [`sh/op read ${sha256('one')}`, 'line 1: the name may have'],
    [`shop read,owner ${sha256('one')}`, 'line 1: the scopes may be read, write, admin'],
    [`shop , ${sha256('one')}`, 'line 1: the scopes may be read, write, admin'],
    ['shop read the-key-itself', 'line 1: the third part must be the SHA-256'],
    [`a read ${sha256('one')}\nb read ${sha256('one')}`, 'line 2: another line has the same SHA-256'],
  ])('are rejected when they are %j', (text, sentence) => {
    expect(problemsOf(text)).toEqual([expect.stringContaining(sentence)])
  })

  it('are not quoted in error messages', () => {
    expect(problemsOf('shop read ims_secret\nims_secret')?.join()).not.toContain('ims_secret')
  })
})

describe('a presented key', () => {
  const keys = readKeys(`a read ${sha256('one')}\nb admin ${sha256('two')}\na write ${sha256('three')}`).keys

  it('is found by its hash, on any of the lines', () => {
    expect(['one', 'two', 'three'].map((key) => holderOf(key, keys)?.name)).toEqual(['a', 'b', 'a'])
  })

  it('has the scopes of its own line, even when two lines have the same name', () => {
    expect([...(holderOf('three', keys)?.scopes ?? [])]).toEqual(['write'])
  })

  it.each(['', 'One', 'one ', sha256('one'), 'x'.repeat(100)])('is unknown when it is %j', (key) => {
    expect(holderOf(key, keys)).toBeUndefined()
  })
})
