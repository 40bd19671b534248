// `npm run faults` and `npm run soak` print their usage on --help.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'

const ROOT = join(import.meta.dirname, '../../..')

describe.each(['faults', 'soak'])('npm run %s', (name) => {
  it('prints its usage on --help, and exits with 0', () => {
    const out = execFileSync(process.execPath, [`acceptance/${name}/main.ts`, '--help'], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    expect(out).toContain(`usage: npm run ${name} -- `)
  })
})
