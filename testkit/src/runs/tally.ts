// Counts the results of a jest run, from the JSON that jest writes.
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
  /** Full titles of the tests that were skipped. A title includes the reason. */
  readonly skipped: readonly string[]
}

export const nothing: Tally = { passed: 0, failed: 0, skipped: [] }

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
  }
}

export function sum(one: Tally, other: Tally): Tally {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: [...one.skipped, ...other.skipped],
  }
}

/** The summary line that CI reads. */
export function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`
}

/** One line for each skipped test, so that none is skipped silently. */
export function skippedLines({ skipped }: Tally): string {
  return skipped.map((title) => `- skipped: ${title}\n`).join('')
}
