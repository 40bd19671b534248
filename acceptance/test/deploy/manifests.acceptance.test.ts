// The manifests, rendered by kubectl, pass a strict validator that is outside this repository.
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { runToEnd } from 'testkit'
import { z } from 'zod'
import { itWith } from '../pipelines/simulator.ts'
import { ROOT } from '../stack.ts'
import { KUBERNETES, OVERLAYS, rendered, withoutKubectl } from './manifests.ts'

const VERIFIER = join(ROOT, '../shared/verify')
const PROGRAM = 'validate-manifests.mjs'
const INSTALL_MAX_MS = 5 * 60_000
const without = existsSync(join(VERIFIER, PROGRAM)) ? withoutKubectl() : `there is no validator ${VERIFIER}/${PROGRAM}`
const test = itWith(without)

const result = z.object({ objects: z.int().min(1), findings: z.array(z.looseObject({ rule: z.string() })) })

describe('the strict validation of the manifests', () => {
  let directory = ''

  const run = (...command: readonly [string, ...string[]]) => runToEnd({ command, cwd: directory })

  const validated = async (text: string) => {
    const file = join(directory, 'rendered.yaml')
    writeFileSync(file, text)
    return await run(process.execPath, PROGRAM, '--json', file)
  }

  beforeAll(async () => {
    if (without !== undefined) return
    directory = mkdtempSync(join(tmpdir(), 'ims-manifests-'))
    // Runs a copy, because the validator needs packages to be installed, and its own directory must not change.
    for (const name of [PROGRAM, 'package.json']) copyFileSync(join(VERIFIER, name), join(directory, name))
    const installed = await run('npm', 'install', '--no-audit', '--no-fund')
    if (installed.code !== 0) throw new Error(`npm install for the validator: ${installed.err}`)
  }, INSTALL_MAX_MS)

  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  for (const name of ['', ...OVERLAYS.map((overlay) => `overlays/${overlay}`)])
    test(`reports no violation in kubernetes/${name}`, async () => {
      const { code, out, err } = await validated(rendered(join(KUBERNETES, name)))
      expect({ err, ...result.parse(JSON.parse(out)) }).toMatchObject({ findings: [] })
      expect(code).toBe(0)
    })

  test('reports a planted fault', async () => {
    const faulty = rendered(KUBERNETES).replace('readOnlyRootFilesystem: true', 'readOnlyRootFilesystem: false')
    const { code, out } = await validated(faulty)
    expect(result.parse(JSON.parse(out)).findings).toContainEqual(expect.objectContaining({ rule: 'security-context' }))
    expect(code).toBe(1)
  })
})
