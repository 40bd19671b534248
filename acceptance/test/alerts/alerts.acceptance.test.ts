// A real Prometheus accepts our configuration. In every scenario (alert-scenarios.ts) only the expected alerts fire.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { findProgram, type Program } from '../find-program.ts'
import { ROOT } from '../stack.ts'
import { HEALTHY, SCENARIOS, type Scenario } from './alert-scenarios.ts'

const DIRECTORY = join(ROOT, 'dockercompose/observability/prometheus')
const found = findProgram('promtool', 'prometheus')

if (typeof found === 'string') describe.skip(`the alerts, skipped because ${found}`, () => alerts())
else describe('the alerts', () => alerts(found))

function alerts(promtool?: Program): void {
  const run = (...args: string[]) => promtool?.run(...args)
  const directory = join(tmpdir(), `ims-alerts-${process.pid}`)
  // Created in a hook. When all tests are skipped, no hook runs, so `afterAll` would not delete a directory created here.
  beforeAll(() => void mkdirSync(directory, { mode: 0o700 }))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it('are in a configuration that Prometheus accepts', () => {
    expect(run('check', 'config', join(DIRECTORY, 'prometheus.yml'))).toContain('1 rule files found')
  })

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))('fire as expected: %s', (_, scenario) => {
    const file = join(directory, 'scenario.yml')
    writeFileSync(file, JSON.stringify(testOf(scenario)))
    expect(run('test', 'rules', file)).toContain('SUCCESS')
  })
}

/** The scenario in promtool's form. JSON is valid YAML. */
function testOf({ name, series, without, firing, everyS = 10 }: Scenario): object {
  const kept = Object.entries(HEALTHY).filter(([key]) => !without?.test(key))
  const all = { ...Object.fromEntries(kept), ...series }
  return {
    rule_files: [join(DIRECTORY, 'alerts.yml')],
    evaluation_interval: `${everyS}s`,
    tests: [
      {
        name,
        interval: `${everyS}s`,
        input_series: Object.entries(all).map(([series, values]) => ({ series, values })),
        promql_expr_test: firing.map(([minute, names]) => ({
          expr: 'group by (alertname) (ALERTS{alertstate="firing"})',
          eval_time: `${Math.round(minute * 6 * everyS)}s`,
          exp_samples: names.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
        })),
      },
    ],
  }
}
