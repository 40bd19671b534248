// The JUnit XML that Jenkins reads.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { ROOT } from '../src/runs/jest.ts'
import { junitXml, reportJunit } from '../src/runs/junit.ts'

const passed = { fullName: 'settling acks once', status: 'passed', duration: 12, failureMessages: [] }

const run = (assertionResults: readonly unknown[], message = '') => ({
  testResults: [
    {
      name: join(ROOT, 'messaging/test/settle.unit.test.ts'),
      message,
      startTime: Date.UTC(2026, 0, 2, 3, 4, 5),
      endTime: Date.UTC(2026, 0, 2, 3, 4, 6),
      assertionResults,
    },
  ],
})

describe('the JUnit XML', () => {
  it('has a testsuite element for each file and a testcase element for each test', () => {
    const xml = junitXml(run([passed, { ...passed, fullName: 'b', status: 'pending', duration: null }]))
    expect(xml).toBe(
      [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<testsuites>',
        '<testsuite name="messaging/test/settle.unit.test.ts" tests="2" failures="0" errors="0" skipped="1" ' +
          'time="1.000" timestamp="2026-01-02T03:04:05.000">',
        '<testcase classname="messaging.settle unit" name="settling acks once" time="0.012"/>',
        '<testcase classname="messaging.settle unit" name="b" time="0.000"><skipped/></testcase>',
        '</testsuite>',
        '</testsuites>',
        '',
      ].join('\n'),
    )
  })

  it('shows the message of a failure without characters that XML forbids', () => {
    const message = '\u001b[31mexpected "<a>" & got \u0000\ud800\u001b[39m\n    at file.ts:1'
    const xml = junitXml(run([{ ...passed, status: 'failed', failureMessages: [message] }]))
    expect(xml).toContain('failures="1"')
    expect(xml).toContain('<failure message="expected &quot;&lt;a&gt;&quot; &amp; got \ufffd">')
    expect(xml).toContain('at file.ts:1</failure>')
    expect(xml).not.toContain('\u001b')
    expect(xml).not.toContain('\u0000')
  })

  it('counts a file that could not be loaded as an error', () => {
    const xml = junitXml(run([], 'SyntaxError: no'))
    expect(xml).toContain('tests="1" failures="0" errors="1"')
    expect(xml).toContain('name="the test file runs" time="0.000"><error message="SyntaxError: no">')
  })

  it('is written to the folder in IMS_JUNIT, and is not written without it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ims-junit-'))
    try {
      const resultsFile = join(folder, 'results.json')
      writeFileSync(resultsFile, JSON.stringify(run([passed])))
      reportJunit(resultsFile, 'unit', {})
      expect(existsSync(join(folder, 'reports/unit.xml'))).toBe(false)
      reportJunit(resultsFile, 'unit', { IMS_JUNIT: join(folder, 'reports') })
      expect(readFileSync(join(folder, 'reports/unit.xml'), 'utf8')).toContain('settling acks once')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  const parses = spawnSync('python3', ['--version']).status === 0
  const title = 'is accepted by an XML parser'
  const test = parses ? it : it.skip
  test(parses ? title : `${title} (skipped: python3 is not installed)`, () => {
    const message = 'a & b < c > d " e \' f ]]> \u0007 \u{1f600}'
    const xml = junitXml(run([passed, { ...passed, fullName: message, status: 'failed', failureMessages: [message] }]))
    const parser = ['-c', 'import sys, xml.dom.minidom; xml.dom.minidom.parseString(sys.stdin.buffer.read())']
    expect(() => execFileSync('python3', parser, { input: xml, stdio: ['pipe', 'ignore', 'pipe'] })).not.toThrow()
  })
})
