// The edits in mutations.ts still match the source.
import { readFileSync } from 'node:fs'
import { expect, it } from '@jest/globals'
import { mutations } from '../src/mutations.ts'

it.each(mutations)('finds the text of each edit exactly once in the source: $name', ({ file, edits }) => {
  const source = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  for (const { find } of edits) expect(source.split(find)).toHaveLength(2)
})
