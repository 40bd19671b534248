// A damaged servers.json is reported with its path.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { readState } from '../src/servers/state.ts'

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
