// The licence page is up to date and complete, and is not written when a licence is not allowed.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { serviceNames } from '@ims/accounts/suite'
import { describe, expect, it } from '@jest/globals'
import { licencesPage } from '../src/licences.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

/** A lockfile in which the producer depends on `a`, and `a` depends on `b`. The root has another version of `b`. */
function lockfile(packages: Record<string, object> = {}): string {
  const folders = [...serviceNames, 'accounts']
  return JSON.stringify({
    packages: {
      '': { dependencies: {} },
      ...Object.fromEntries(folders.map((folder) => [folder, { version: '1.0.0' }])),
      producer: { dependencies: { a: '*', '@ims/library': '*' } },
      'node_modules/@ims/library': { link: true, resolved: 'library' },
      library: { dependencies: { c: '*' } },
      'node_modules/a': { version: '1.0.0', license: 'MIT', dependencies: { b: '*' }, peerDependencies: { gone: '*' } },
      'node_modules/a/node_modules/b': { version: '2.0.0', license: 'ISC' },
      'node_modules/b': { version: '1.0.0', license: 'GPL-3.0' },
      'node_modules/c': { version: '3.0.0', license: '(GPL-2.0 OR MIT)' },
      'node_modules/tool': { version: '1.0.0', license: 'GPL-3.0', dev: true },
      ...packages,
    },
  })
}

describe('docs/licences.md', () => {
  it('is identical to the output of `npm run licences`', () => {
    expect(read('docs/licences.md')).toBe(licencesPage(read('package-lock.json')))
  })

  it('lists every package that npm installs for the services', () => {
    const args = [
      'ls',
      '--all',
      '--omit',
      'dev',
      '--parseable',
      '--package-lock-only',
      ...serviceNames.map((each) => `-w=${each}`),
    ]
    const installed = execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const names = installed.split('\n').flatMap((path) => /.*node_modules\/(.+)$/.exec(path)?.[1] ?? [])
    expect(names.length).toBeGreaterThan(50)
    const page = read('docs/licences.md')
    const missing = names.filter(
      (name) =>
        !name.startsWith('@ims/') && !serviceNames.some((each) => each === name) && !page.includes(`\n| ${name} | `),
    )
    expect(missing).toEqual([])
  })
})

describe('the licence page', () => {
  it('includes the dependencies of libraries, in the version that Node would load', () => {
    const rows = licencesPage(lockfile())
      .split('\n')
      .filter((line) => /^\| \w+ \| \d/.test(line))
    expect(rows).toEqual(['| a | 1.0.0 | MIT |', '| b | 2.0.0 | ISC |', '| c | 3.0.0 | (GPL-2.0 OR MIT) |'])
  })

  it.each([
    ['AGPL-3.0-only', 'd 1.0.0 (AGPL-3.0-only)'],
    ['(MIT AND GPL-2.0)', 'd 1.0.0 ((MIT AND GPL-2.0))'],
    ['SEE LICENSE IN LICENSE', 'd 1.0.0 (SEE LICENSE IN LICENSE)'],
    [undefined, 'd 1.0.0 (unknown)'],
  ])('is not written for the licence %s', (license, named) => {
    const packages = {
      library: { dependencies: { c: '*', d: '*' } },
      'node_modules/d': { version: '1.0.0', ...(license === undefined ? {} : { license }) },
    }
    expect(() => licencesPage(lockfile(packages))).toThrow(named)
  })

  it('is not written for a lockfile with a missing package', () => {
    const packages = { library: { dependencies: { absent: '*' } } }
    expect(() => licencesPage(lockfile(packages))).toThrow('the lockfile does not have absent, which library needs')
  })
})
