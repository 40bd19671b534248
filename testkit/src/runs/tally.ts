// Counts the results of a jest run, from the JSON that jest writes.
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { z } from 'zod'
import { ROOT } from './jest.ts'

const results = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numRuntimeErrorTestSuites: z.int(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()).nullish() }),
      ),
    }),
  ),
})

type File = z.infer<typeof results>['testResults'][number]

const FAILURE_LINES = 15
const LINE_LENGTH = 300

const NOT_RUN = new Set(['pending', 'skipped', 'disabled', 'todo'])

export interface Tally {
  readonly passed: number
  readonly failed: number
  /** Full titles of the tests that were skipped. A title includes the reason. */
  readonly skipped: readonly string[]
  /** One text for each failure: file, title and the first lines of the message. */
  readonly failures: readonly string[]
}

export const nothing: Tally = { passed: 0, failed: 0, skipped: [], failures: [] }

/** One failure that is not a failed test, such as a file that a test left behind. */
export const oneFailure = (text: string): Tally => ({ ...nothing, failed: 1, failures: [text] })

/** Reads the output file of `jest --json --outputFile`. A test file that could not run counts as one failure. */
export function readTally(path: string): Tally {
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, testResults } = results.parse(
    JSON.parse(readFileSync(path, 'utf8')),
  )
  return {
    passed: numPassedTests,
    failed: numFailedTests + numRuntimeErrorTestSuites,
    skipped: testResults.flatMap(({ assertionResults }) =>
      assertionResults.filter(({ status }) => NOT_RUN.has(status)).map(({ fullName }) => fullName),
    ),
    failures: testResults.flatMap(failuresOf),
  }
}

/** The failures of a test file. A file can fail without a failed test: it could not be loaded, or its `afterAll` threw. */
function failuresOf({ name, status, message, assertionResults }: File): string[] {
  const path = relative(ROOT, name)
  const tests = assertionResults.filter((test) => test.status === 'failed')
  if (tests.length === 0) return status === 'failed' ? [`${path}\n${beginning(message)}`] : []
  return tests.map(
    ({ fullName, failureMessages }) => `${path}: ${fullName}\n${beginning((failureMessages ?? []).join('\n'))}`,
  )
}

const beginning = (message: string) =>
  stripVTControlCharacters(message)
    .trim()
    .split('\n')
    .slice(0, FAILURE_LINES)
    .map((line) => `    ${line.slice(0, LINE_LENGTH)}`)
    .join('\n')

export function sum(one: Tally, other: Tally): Tally {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: [...one.skipped, ...other.skipped],
    failures: [...one.failures, ...other.failures],
  }
}

/** The summary line that CI reads. */
export function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`
}

/**
 * One line for each skipped test, so that no test is skipped silently, and then the failures. Failures come last, because
 * a CI server may show only the end of a long log.
 */
export function exceptions({ skipped, failures }: Tally): string {
  return [...skipped.map((title) => `- skipped: ${title}\n`), ...failures.map((text) => `✗ failed: ${text}\n`)].join('')
}
