// The shipped alert rules, parsed from alerts.yml.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { ROOT } from '../stack.ts'

const alert = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  keep_firing_for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'none']) }),
  annotations: z.strictObject({ summary: z.string().regex(/[.}]\s*$/), runbook_url: z.string() }),
})
const recorded = z.strictObject({ record: z.string(), expr: z.string() })
const rules = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(z.union([recorded, alert])) })),
})

export const { groups } = rules.parse(
  parse(readFileSync(join(ROOT, 'dockercompose/observability/prometheus/alerts.yml'), 'utf8')),
)
const all = groups.flatMap((group) => group.rules)
export const alerts = all.filter((rule) => 'alert' in rule)
export const recordings = all.filter((rule) => 'record' in rule)
