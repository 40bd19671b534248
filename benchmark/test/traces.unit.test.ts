// The benchmark of traces takes their code away where it stands today.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { ROOT } from '../src/processes.ts'
import { TRACE_CODE } from '../src/scenarios/traces.ts'

it.each(TRACE_CODE)('takes one place out of $file', ({ file, find }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(find)).toHaveLength(2)
})
