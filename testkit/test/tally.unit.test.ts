// The counts in the last line of `npm test`.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { jestCommand } from '../src/runs/jest.ts'
import { nothing, readTally, skippedLines, sum, summaryLine } from '../src/runs/tally.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ims-tally-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('the tally', () => {
  it('counts a test file that could not run as a failure, and names skipped tests', () => {
    const file = join(directory, 'results.json')
    const assertionResults = [
      { fullName: 'a passes', status: 'passed' },
      { fullName: 'b (skipped: no python3 here)', status: 'pending' },
      { fullName: 'c', status: 'todo' },
    ]
    const results = { numPassedTests: 1, numFailedTests: 2, numRuntimeErrorTestSuites: 1 }
    writeFileSync(file, JSON.stringify({ ...results, testResults: [{ name: 'x', assertionResults }] }))
    const tally = readTally(file)
    expect(summaryLine(tally)).toBe('1 passed, 3 failed, 2 skipped')
    expect(skippedLines(tally)).toBe('- skipped: b (skipped: no python3 here)\n- skipped: c\n')
  })

  it('adds up several runs', () => {
    const total = sum({ passed: 3, failed: 1, skipped: ['a'] }, { ...nothing, passed: 4, skipped: ['b'] })
    expect(summaryLine(total)).toBe('7 passed, 1 failed, 2 skipped')
  })
})

describe('the call of jest', () => {
  it('passes filter words before the projects, because jest would read them as projects', () => {
    const command = jestCommand(['integration', 'acceptance'], 'r.json', [], ['messaging'])
    expect(command.indexOf('messaging')).toBeLessThan(command.indexOf('--selectProjects'))
    expect(command.slice(-2)).toEqual(['integration', 'acceptance'])
  })
})
