// Prometheus itself takes our configuration, and its alerts fire when they should (alerts.promtool.yml) and only then.
import { join } from 'node:path'
import { afterAll, describe, expect, it } from '@jest/globals'
import { findPromtool, type Promtool } from './promtool.ts'
import { ROOT } from './stack.ts'

const DIRECTORY = join(ROOT, 'dockercompose/observability/prometheus')
const found = findPromtool()

if (typeof found === 'string') describe.skip(`the alerts, skipped because ${found}`, () => alerts())
else describe('the alerts', () => alerts(found))

function alerts(promtool?: Promtool): void {
  const run = (...args: string[]) => promtool?.run(...args)
  afterAll(() => promtool?.remove())

  it('stand in a configuration that Prometheus takes', () => {
    expect(run('check', 'config', join(DIRECTORY, 'prometheus.yml'))).toContain('1 rule files found')
  })

  it('fire on the faults that they are about, and on nothing else', () => {
    expect(run('test', 'rules', join(import.meta.dirname, 'alerts.promtool.yml'))).toContain('SUCCESS')
  })
}
