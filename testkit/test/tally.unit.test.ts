// The test counts and failures that `npm test` prints, and the jest command line that it uses.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { jestCommand, ROOT } from '../src/runs/jest.ts'
import { exceptions, nothing, readTally, sum, summaryLine } from '../src/runs/tally.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'ims-tally-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('the tally', () => {
  it('counts a test file that could not run as a failure, and lists skipped tests, then failures', () => {
    const file = join(directory, 'results.json')
    const assertionResults = [
      { fullName: 'a passes', status: 'passed' },
      { fullName: 'b (skipped: python3 is not installed)', status: 'pending' },
      { fullName: 'c', status: 'todo' },
      { fullName: 'd', status: 'failed', failureMessages: [`\u001b[31mit is 2\u001b[39m\n${'at x\n'.repeat(40)}`] },
    ]
    const counts = { numPassedTests: 1, numFailedTests: 1, numRuntimeErrorTestSuites: 1 }
    const testResults = [
      { name: join(ROOT, 'x.test.ts'), status: 'failed', message: 'of all', assertionResults },
      { name: join(ROOT, 'y.test.ts'), status: 'failed', message: 'no such module', assertionResults: [] },
      { name: join(ROOT, 'z.test.ts'), status: 'passed', message: '', assertionResults: [] },
    ]
    writeFileSync(file, JSON.stringify({ ...counts, testResults }))
    const tally = readTally(file)
    expect(summaryLine(tally)).toBe('1 passed, 2 failed, 2 skipped')
    const lines = exceptions(tally).split('\n')
    expect(lines.slice(0, 5)).toEqual([
      '- skipped: b (skipped: python3 is not installed)',
      '- skipped: c',
      '✗ failed: x.test.ts: d',
      '    it is 2',
      '    at x',
    ])
    expect(lines.slice(-3)).toEqual(['✗ failed: y.test.ts', '    no such module', ''])
    expect(lines.length).toBeLessThan(25)
  })

  it('adds the counts of several runs', () => {
    const total = sum(
      { passed: 3, failed: 1, skipped: ['a'], failures: ['b'] },
      { ...nothing, passed: 4, skipped: ['b'] },
    )
    expect(summaryLine(total)).toBe('7 passed, 1 failed, 2 skipped')
  })
})

describe('the jest command line', () => {
  it('has filter words before the projects, because jest parses all words after them as projects', () => {
    const command = jestCommand(['integration', 'acceptance'], 'r.json', [], ['messaging'])
    expect(command.indexOf('messaging')).toBeLessThan(command.indexOf('--selectProjects'))
    expect(command.slice(-2)).toEqual(['integration', 'acceptance'])
  })
})
