// `check`: runs the checks that need no servers, in parallel: types, lint (with format and import rules), unit tests.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { jestCommand, ROOT } from './jest.ts'
import { reportJunit } from './junit.ts'
import { runStep } from './step.ts'
import { exceptions, nothing, readTally, summaryLine, type Tally } from './tally.ts'
import { TemporaryFolder } from './temporary-folder.ts'

/** One worker more than the number of cores, because unit tests mostly wait. By default jest leaves one core free. */
const IN_PARALLEL = [`--maxWorkers=${availableParallelism() + 1}`]

/** The type check uses one thread, because several threads check some types twice, and the unit tests use the other cores. */
const TYPES = ['--noEmit', '--singleThreaded', '-p', 'tsconfig.json']

/** Exit codes: 0 all checks passed · 1 a check failed. Arguments select unit tests, as with jest. */
export async function check(args: string[]): Promise<number> {
  const began = performance.now()
  const { isGood, tally } = await runChecks(args)
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  process.stdout.write(`${exceptions(tally)}${isGood ? '✓ check passed' : '✗ check failed'} (${took})\n`)
  process.stdout.write(`${summaryLine(tally)}\n`)
  return isGood ? 0 : 1
}

/** Runs all checks, even if one fails. Returns whether all passed, and the counts of the unit tests. */
export async function runChecks(jestArgs: readonly string[]): Promise<{ isGood: boolean; tally: Tally }> {
  const bin = join(ROOT, 'node_modules', '.bin')
  const folder = mkdtempSync(join(tmpdir(), 'ims-check-'))
  const resultsFile = join(folder, 'unit.json')
  const temporary = new TemporaryFolder()
  const env = { ...process.env, TMPDIR: temporary.path }
  try {
    const results = await Promise.all([
      runStep({ name: 'types', command: [join(bin, 'tsc'), ...TYPES] }, ROOT),
      runStep({ name: 'lint, format and import rules', command: [join(bin, 'biome'), 'check', '.'] }, ROOT),
      runStep({ name: 'unit tests', command: jestCommand(['unit'], resultsFile, IN_PARALLEL, jestArgs), env }, ROOT),
    ])
    const isGood = temporary.remove() && results.every(Boolean)
    if (!existsSync(resultsFile)) return { isGood, tally: nothing }
    reportJunit(resultsFile, 'unit', process.env)
    return { isGood, tally: readTally(resultsFile) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
