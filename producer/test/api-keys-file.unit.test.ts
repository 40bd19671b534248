// API keys are rotated by a change of the file that API_KEYS_FILE names. Only the keys in its valid lines are accepted.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { readKeys } from '../src/http/api-keys.ts'
import { type WatchedKeys, watchApiKeys } from '../src/http/api-keys-file.ts'
import { appUnderTest } from './app-under-test.ts'

const CHECK_EVERY_MS = 50

const line = (name: string, key: string) => `${name} read ${createHash('sha256').update(key).digest('hex')}`

describe('API_KEYS_FILE', () => {
  let directory = ''
  let file = ''
  let watched: WatchedKeys | undefined
  const under = appUnderTest()
  const logged = () => under.lines.map(({ level, message }) => `${level}: ${message}`)
  const names = () => watched?.keysNow()?.map(({ name }) => name)
  const until = async (check: () => boolean) => {
    const endsAt = performance.now() + 10_000
    while (!check() && performance.now() < endsAt) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const begin = (text: string) => {
    writeFileSync(file, text)
    process.env.API_KEYS_FILE = file
    watched = watchApiKeys(readKeys(text).keys, under.service, CHECK_EVERY_MS)
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-keys-'))
    file = join(directory, 'keys')
    under.lines.length = 0
  })
  afterEach(async () => {
    await watched?.close()
    delete process.env.API_KEYS_FILE
    rmSync(directory, { recursive: true })
  })

  it('is read again when it changes, without a restart', async () => {
    begin(line('old', '1'))
    writeFileSync(file, `${line('old', '1')}\n${line('new', '2')}\n`)
    await until(() => names()?.length === 2)
    expect(names()).toEqual(['old', 'new'])
    expect(logged().at(-1)).toBe('info: API keys: 2 valid')
  })

  it.each([
    ['empty', '', 'has no key in it', []],
    ['partly valid', `${line('new', '2')}\nops admin no-hash`, 'line 2: the third part must be the SHA-256', ['new']],
  ])('invalidates removed keys when the file is %s, and reports the error', async (_, text, sentence, left) => {
    begin(line('old', '1'))
    writeFileSync(file, text)
    await until(() => under.lines.some(({ level }) => level === 'error'))
    const wrong = new RegExp(`API_KEYS_FILE: .*${sentence}.*: only the keys in its other lines are valid`)
    expect(logged().filter((each) => each.startsWith('error'))).toEqual([expect.stringMatching(wrong)])
    expect(watched?.warning()).toMatch(wrong)
    expect(names()).toEqual(left)
    expect(under.measured.filter(({ metric }) => metric.startsWith('api_keys')).slice(-2)).toEqual([
      { metric: 'api_keys_valid', value: left.length, labels: {} },
      { metric: 'api_keys_problems', value: 1, labels: {} },
    ])
  })

  it('makes all keys invalid when it is deleted, and reports no error once it is valid again', async () => {
    begin(line('old', '1'))
    rmSync(file)
    await until(() => under.lines.some(({ level }) => level === 'error'))
    expect(logged().find((each) => each.startsWith('error'))).toMatch(/^error: API_KEYS_FILE: cannot read .*ENOENT/)
    expect(names()).toEqual([])
    writeFileSync(file, line('new', '2'))
    await until(() => names()?.length === 1)
    expect([names(), watched?.warning()]).toEqual([['new'], undefined])
  })

  it('that says open closes the API as soon as it has a list of keys instead', async () => {
    writeFileSync(file, 'open\n')
    process.env.API_KEYS_FILE = file
    watched = watchApiKeys('open', under.service, CHECK_EVERY_MS)
    await new Promise((resolve) => setTimeout(resolve, 3 * CHECK_EVERY_MS))
    expect(watched.keysNow()).toBeUndefined()
    writeFileSync(file, line('new', '2'))
    await until(() => watched?.keysNow() !== undefined)
    expect(names()).toEqual(['new'])
    expect(logged().at(-1)).toBe('info: API keys: 1 valid')
  })

  it('that says open closes the API only while it cannot be read or is empty', async () => {
    writeFileSync(file, 'open')
    process.env.API_KEYS_FILE = file
    watched = watchApiKeys('open', under.service, CHECK_EVERY_MS)
    rmSync(file)
    await until(() => watched?.keysNow() !== undefined)
    expect(names()).toEqual([])
    writeFileSync(file, '')
    await until(() => /has no key in it/.test(watched?.warning() ?? ''))
    writeFileSync(file, 'open')
    await until(() => watched?.keysNow() === undefined)
    expect([watched.keysNow(), watched.warning()]).toEqual([undefined, undefined])
    writeFileSync(file, line('new', '2'))
    await until(() => names()?.length === 1)
    writeFileSync(file, 'open')
    await until(() => names()?.length === 0)
    expect(names()).toEqual([])
  })

  it.each([
    [undefined, 'not set: everybody on this machine'],
    ['open', 'open: everybody who can reach the HTTP port'],
  ] as const)('is optional: one warning is logged when API_KEYS is %s', (keys, who) => {
    watched = watchApiKeys(keys, under.service)
    expect(logged()).toEqual([`warn: API_KEYS is ${who} may use the API, except /dead_letters`])
    expect(watched.keysNow()).toBeUndefined()
  })
})
