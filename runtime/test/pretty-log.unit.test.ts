// The readable log format, written by a separate process: complete, and without secrets.
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'

describe('LOG_FORMAT=pretty', () => {
  it('writes readable lines, including the last one, without secrets', () => {
    const { status, stdout } = spawnSync(process.execPath, [`${import.meta.dirname}/fixtures/service.ts`], {
      env: { ADMIN_PORT: '0', FIXTURE_BEHAVIOUR: 'throws', FIXTURE_PASSWORD: 's3cr3t', LOG_FORMAT: 'pretty' },
      encoding: 'utf8',
    })
    expect(status).toBe(70)
    expect(stdout).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO.*: starting$/m)
    expect(stdout).toContain('"password": "[redacted]"')
    expect(stdout).not.toContain('s3cr3t')
    expect(stdout).toMatch(/INFO: stopped\n.*exitCode: 70\n$/)
  })
})
