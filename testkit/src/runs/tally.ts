// What jest runs came to, counted from the results that jest writes as JSON.
import { readFileSync } from 'node:fs'
import { z } from 'zod'

const results = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numRuntimeErrorTestSuites: z.int(),
  testResults: z.array(
    z.object({ name: z.string(), assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })) }),
  ),
})

const NOT_RUN = new Set(['pending', 'skipped', 'disabled', 'todo'])

export interface Tally {
  readonly passed: number
  readonly failed: number
  /** Full titles of the tests that were not run; a title says why. */
  readonly skipped: readonly string[]
}

export const nothing: Tally = { passed: 0, failed: 0, skipped: [] }

/** Reads the file of `jest --json --outputFile`. A test file that could not be run counts as one failure. */
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
  }
}

export function sum(one: Tally, other: Tally): Tally {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: [...one.skipped, ...other.skipped],
  }
}

/** The line that continuous integration reads. */
export function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`
}

/** One line for each test that was skipped, so that none is skipped in silence. */
export function skippedLines({ skipped }: Tally): string {
  return skipped.map((title) => `- skipped: ${title}\n`).join('')
}
