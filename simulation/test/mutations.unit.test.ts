// The bugs that the simulator must find still apply to the source.
import { readFileSync } from 'node:fs'
import { expect, it } from '@jest/globals'
import { mutations } from '../src/mutations.ts'

it.each(mutations)('changes exactly one place with each edit: $name', ({ file, edits }) => {
  const source = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  for (const { find } of edits) expect(source.split(find)).toHaveLength(2)
})
