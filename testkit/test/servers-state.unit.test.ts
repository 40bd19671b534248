// A damaged servers.json is reported with its path.
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { makePrivate, readState } from '../src/servers/state.ts'

it.each(['', '{', '{"mode":"local"}', 'null'])('a damaged servers.json is rejected with its path: %j', (text) => {
  const directory = mkdtempSync(join(tmpdir(), 'ims-servers-state-'))
  try {
    const path = join(directory, 'servers.json')
    writeFileSync(path, text)
    expect(() => readState(directory)).toThrow(`${path} is damaged`)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

it('the mode of a directory that all users share is not changed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ims-servers-shared-'))
  try {
    chmodSync(directory, 0o1777)
    expect(() => makePrivate(directory)).toThrow(`${directory} is shared by all users`)
    expect(statSync(directory).mode & 0o7777).toBe(0o1777)
  } finally {
    rmSync(directory, { recursive: true })
  }
})
