// docs/metrics.md lists every metric in runtime/src/metrics.ts.
import { readFileSync } from 'node:fs'
import { METRICS } from '@ims/runtime'
import { expect, it } from '@jest/globals'
import { METRICS_PAGE, withCurrentMetrics } from './metrics-page.ts'

const page = readFileSync(METRICS_PAGE, 'utf8')

it('docs/metrics.md lists every metric with its type, its labels and its help', () => {
  expect(page).toBe(withCurrentMetrics(page))
})

it('docs/metrics.md names only metrics that exist', () => {
  const known = METRICS.map(({ name }) => name)
  for (const [name] of page.matchAll(/\bims_[a-z_]+\b/g)) expect(known).toContain(name)
})
