// The report of the doctor: its exit code, and control characters in texts from servers.
import { fault, fine, unchecked } from '@ims/runtime/finding'
import { describe, expect, it } from '@jest/globals'
import { exitCodeOf, reportOf } from '../src/doctor/report.ts'

const HOSTILE = 'x\u001b[2J\u009b31m\u202e'

describe('the report of the doctor', () => {
  it('contains no control character from a server, as text and as JSON', () => {
    const findings = [fault(`arguments of ${HOSTILE}`, HOSTILE, 'Delete it.'), unchecked('clock', HOSTILE)]
    for (const json of [false, true])
      expect(reportOf(findings, { json }).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(JSON.parse(reportOf(findings, { json: true }))).toEqual({ findings })
  })

  it('has exit code 1 for a fault, 2 when something was not checked, and otherwise 0', () => {
    const [good, bad, unknown] = [fine('a', 'b'), fault('a', 'b', 'c'), unchecked('a', 'b')]
    expect([[good], [good, unknown], [good, unknown, bad]].map(exitCodeOf)).toEqual([0, 2, 1])
    expect(reportOf([good, unknown, bad], { json: false })).toContain('1 faults, 1 not checked, 1 fine')
  })
})
