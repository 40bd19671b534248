// The mutations of the fault ledger still match the source, and deployed code cannot be mutated.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { mixOf } from '../../faults/faults/index.ts'
import { mutationEnvironment, mutations } from '../../faults/mutations.ts'
import { ROOT } from '../stack.ts'

describe('the mutations', () => {
  it.each(mutations)('each edit of $name matches the source exactly once', ({ file, edits }) => {
    const source = readFileSync(join(ROOT, file), 'utf8')
    for (const { find, replace } of edits) {
      expect(source.split(find)).toHaveLength(2)
      expect(replace).not.toBe(find)
    }
  })

  it.each(mutations)('$name names only existing faults', ({ mix }) => {
    for (const word of mix) expect(mixOf([word])).not.toEqual([])
  })

  it.each(mutations)('$name is applied to its source file when a service loads it', ({ file, ...mutation }) => {
    const program = `import(${JSON.stringify(join(ROOT, file))}).then(() => console.log('loaded'))`
    const load = (edits: typeof mutation.edits) =>
      execFileSync('node', ['-e', program], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, ...mutationEnvironment({ ...mutation, file, edits }) },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    expect(load(mutation.edits)).toBe('loaded\n')
    expect(() => load([{ find: 'text that does not exist', replace: '' }])).toThrow(/does not fit/)
  })

  it('are not referenced by deployed code', () => {
    const deployed = [
      'messaging',
      'repository',
      'runtime',
      'producer',
      'accounts',
      'consumer_*',
      'dockercompose',
      'kubernetes',
    ]
    const found = () => execFileSync('git', ['grep', '-lI', 'IMS_MUTATION', '--', ...deployed], { cwd: ROOT })
    expect(found).toThrow()
  })
})
