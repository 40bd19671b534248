// docs/faults.md states the correct number of faults, and has a row for each mutation.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { faults, faultsOfCluster } from '../../faults/faults/index.ts'
import { mutations } from '../../faults/mutations.ts'
import { ROOT } from './documents.ts'

const page = readFileSync(join(ROOT, 'docs/faults.md'), 'utf8')

it('docs/faults.md states the number of kinds of faults', () => {
  const [, kinds, more] = /There are (\d+) kinds, and (\w+) more on a cluster/.exec(page) ?? []
  expect(Number(kinds)).toBe(faults.length)
  const onlyOnCluster = faultsOfCluster.filter(({ kind }) => !faults.some((each) => each.kind === kind))
  expect([more, onlyOnCluster.length]).toEqual(['one', 1])
})

it('docs/faults.md has a row for each mutation, in the order of the source', () => {
  const table = page.slice(page.indexOf('## Would it notice?'))
  expect([...table.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name)).toEqual(mutations.map(({ name }) => name))
})
