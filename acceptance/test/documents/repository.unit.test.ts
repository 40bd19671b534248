// Checks the files for the code host: the workflow runs .ci/run, and the templates are at the paths that the host reads.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import { ROOT } from './documents.ts'

const step = z.object({ uses: z.string().optional(), run: z.string().optional() })
const workflow = z.object({
  permissions: z.record(z.string(), z.string()),
  jobs: z.record(z.string(), z.object({ 'timeout-minutes': z.number(), steps: z.array(step) })),
})

it('the repository has a workflow with read-only permissions that runs .ci/run, which is executable', () => {
  const { permissions, jobs } = workflow.parse(parse(readFileSync(join(ROOT, '.github/workflows/ci.yml'), 'utf8')))
  expect(permissions).toEqual({ contents: 'read' })
  expect(Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []))).toEqual(['.ci/run'])
  accessSync(join(ROOT, '.ci/run'), constants.X_OK)
})

it.each(['bug.md', 'proposal.md'])('the issue template %s has a name and a description', (file) => {
  const text = readFileSync(join(ROOT, '.github/ISSUE_TEMPLATE', file), 'utf8')
  const [, head = ''] = /^---\n([\s\S]*?)\n---\n/.exec(text) ?? []
  expect(z.object({ name: z.string(), about: z.string() }).safeParse(parse(head)).success).toBe(true)
})

it('the repository has a template for pull requests, and a changelog entry for its version or for an unreleased one', () => {
  expect(existsSync(join(ROOT, '.github/pull_request_template.md'))).toBe(true)
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')))
  const [, newest = '', state] =
    /^## (\S+)( \(unreleased\))?/m.exec(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')) ?? []
  expect(state === undefined ? newest === version : newest !== version).toBe(true)
})
