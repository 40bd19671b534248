// The code that the benchmark of traces replaces is in the current source.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { ROOT } from '../src/processes.ts'
import { TRACE_CODE } from '../src/scenarios/traces.ts'

it.each(TRACE_CODE)('the code that the benchmark of traces replaces is in $file exactly once', ({ file, find }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(find)).toHaveLength(2)
})
