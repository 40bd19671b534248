// `npm run api-key` creates keys that the producer accepts.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { holderOf, readKeys } from '../../producer/src/http/api-keys.ts'

const make = (...args: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, '../src/main.ts'), 'api-key', ...args], { encoding: 'utf8' })

describe('npm run api-key', () => {
  it('prints a line that the producer accepts, and the matching key separately', () => {
    const { status, stdout, stderr } = make('shop', 'read,write')
    expect(status).toBe(0)
    const key = /^ims_[\w-]{43}$/m.exec(stderr)?.[0] ?? ''
    const holder = holderOf(key, readKeys(stdout).keys)
    expect(holder?.name).toBe('shop')
    expect([...(holder?.scopes ?? [])]).toEqual(['read', 'write'])
    expect(stdout).not.toContain(key)
  })

  it('creates a different key each time', () => {
    expect(make('a', 'read').stdout).not.toBe(make('a', 'read').stdout)
  })

  it.each([[], ['shop'], ['shop', 'owner'], ['sh op', 'read'], ['shop', 'read', 'write']].map((args) => [args]))(
    'prints its usage when called with %j',
    (args) => {
      const { status, stdout, stderr } = make(...args)
      expect({ status, stdout }).toEqual({ status: 64, stdout: '' })
      expect(stderr).toContain('npm run api-key -- NAME SCOPES')
    },
  )
})
