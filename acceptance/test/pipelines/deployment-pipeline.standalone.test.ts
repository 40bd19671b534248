// Runs deployment.pipeline in the simulator: its steps and their order, the cases in which it does nothing, and its rollback.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import { z } from 'zod'
import {
  createDeploymentWorkspace,
  type DeploymentWorkspace,
  SERVICES,
  TAG,
  withoutKubectl,
} from './deployment-workspace.ts'
import { itWith, type PipelineRun, ROOT, runPipeline, withoutSimulator } from './simulator.ts'

const test = itWith(withoutSimulator())
const testForReal = itWith(withoutSimulator() ?? withoutKubectl())
const GOOD = ['--param', 'ENVIRONMENT=single', '--param', `TAG=${TAG.new}`, '--credential', 'ims-kubeconfig-single']

const deploy = (...options: readonly string[]) => runPipeline('deployment.pipeline', [...GOOD, ...options])

/** The labels of the scripts that ran, in order, without the one that finds the services. */
const steps = ({ events }: PipelineRun) =>
  events.filter(({ type, label }) => type === 'sh' && label !== 'Find the services').map(({ label }) => label)
const messages = ({ events }: PipelineRun, type: string) =>
  events.filter((event) => event.type === type).map(({ message }) => message)
const ROLLBACK_MINUTES = 30
const timeout = z.object({ args: z.object({ time: z.coerce.number(), unit: z.enum(['MINUTES', 'HOURS']) }) })
const minutes = (option: unknown) => {
  const { time, unit } = timeout.parse(option).args
  return unit === 'HOURS' ? time * 60 : time
}
const description = ({ events }: PipelineRun) => events.find(({ type }) => type === 'description')?.value

describe('the deployment pipeline', () => {
  test('diffs, records, applies, waits and smoke-tests, in this order, if no step fails', async () => {
    const run = await deploy()
    expect(run).toMatchObject({ result: 'SUCCESS', errors: [], objections: [] })
    expect(steps(run)).toEqual(['render', 'diff', 'record', 'apply', 'rollout', 'smoke-test'])
    expect(run.log).toContain('kubectl diff -k')
    expect(run.log).toContain('kubectl apply -k')
    expect(run.log.indexOf('kubectl diff -k')).toBeLessThan(run.log.indexOf('kubectl apply -k "$RENDERED"\n'))
    expect(run.events.find(({ type }) => type === 'displayName')?.value).toBe(`#1 single ${TAG.new.slice(0, 12)}`)
    expect(run.events.at(-1)?.type).toBe('deleteDir')

    const options = run.events.filter(({ type }) => type === 'option')
    expect(options.map((option) => option.name)).toContain('disableConcurrentBuilds')
    // Even if every stage takes as long as its timeout allows, there must be time for the rollback.
    const [whole = 0, ...stages] = options.filter((option) => option.name === 'timeout').map(minutes)
    expect(whole).toBeGreaterThan(stages.reduce((sum, one) => sum + one, ROLLBACK_MINUTES))
  })

  test('only renders and diffs in a dry run', async () => {
    const run = await deploy('--param', 'DRY_RUN=true')
    expect(run.result).toBe('SUCCESS')
    expect(steps(run)).toEqual(['render', 'diff'])
  })

  test('uses the credential of the target environment, and no other', async () => {
    const run = await deploy('--param', 'ENVIRONMENT=production', '--credential', 'ims-kubeconfig-production')
    const ids = run.events.filter(({ type }) => type === 'credential').map((event) => event.id)
    expect([...new Set(ids)]).toEqual(['ims-kubeconfig-production'])
  })

  test('rejects the tag latest and asks for a full commit id, before it runs anything', async () => {
    const run = await deploy('--param', 'TAG=latest')
    expect(run.result).toBe('FAILURE')
    expect(messages(run, 'error')).toEqual([
      expect.stringMatching(/^Nothing was changed: TAG must be the full commit id/),
    ])
    expect(run.events.filter(({ type }) => type === 'sh' || type === 'credential')).toEqual([])
  })

  test('deploys only commits of main to production, and checks this first', async () => {
    const production = ['--param', 'ENVIRONMENT=production', '--credential', 'ims-kubeconfig-production']
    expect(steps(await deploy(...production))[0]).toBe('Check that the commit is on main')
    const run = await deploy(...production, '--fail', 'git merge-base --is-ancestor')
    expect(run.result).toBe('FAILURE')
    expect(steps(run)).toEqual(['Check that the commit is on main'])
    expect(run.events.filter(({ type }) => type === 'credential')).toEqual([])
  })

  test('requires the digests of the pushed images if there is a registry', async () => {
    const registry = ['--env', 'IMS_REGISTRY=registry.example.org']
    const run = await deploy(...registry)
    expect(messages(run, 'error')).toEqual([expect.stringMatching(/^Nothing was changed: IMAGES must be the reports/)])
    expect(run.events.filter(({ type }) => type === 'sh' || type === 'credential')).toEqual([])
    expect(await deploy(...registry, '--param', 'IMAGES=registry.example.org/ims/producer@sha256:1')).toMatchObject({
      result: 'SUCCESS',
      objections: [],
    })
  })

  for (const [what, command] of [
    ['the diff fails', 'kubectl diff -k'],
    ['the current state cannot be recorded', 'Records the current state of the overlay'],
  ] as const) {
    test(`applies nothing and rolls nothing back if ${what}`, async () => {
      const run = await deploy('--fail', command)
      expect(run.result).toBe('FAILURE')
      expect(steps(run)).not.toContain('apply')
      expect(steps(run)).not.toContain('rollback')
    })
  }

  for (const [what, command, last] of [
    ['cannot be applied', 'kubectl apply -k "\\$RENDERED"\\n$', 'apply'],
    ['does not become ready', 'Waits until the migration', 'rollout'],
    ['fails its smoke test', 'pipeline_files/smoke-test.sh', 'smoke-test'],
  ] as const) {
    test(`rolls back and reports it if the new version ${what}`, async () => {
      const run = await deploy('--fail', command)
      expect(run).toMatchObject({ result: 'FAILURE', objections: [] })
      expect(steps(run).slice(-2)).toEqual([last, 'rollback'])
      expect(messages(run, 'echo')).toEqual([
        `ROLLING BACK: the deployment of ${TAG.new} to single failed`,
        `ROLLED BACK: the deployment of ${TAG.new} to single failed; the Deployments run their previous revisions again`,
      ])
      expect(description(run)).toBe('failed, rolled back')
      expect(run.events.at(-1)?.type).toBe('deleteDir')
    })
  }

  test('rolls back if it is aborted after the apply', async () => {
    // The simulator can abort only at an `input` step, so the test inserts one where the pipeline waits.
    const directory = mkdtempSync(join(tmpdir(), 'ims-aborted-'))
    try {
      const planted = join(directory, 'deployment.pipeline')
      const text = readFileSync(join(ROOT, 'pipeline_files/deployment.pipeline'), 'utf8')
      writeFileSync(planted, text.replace("imsOnCluster(script: 'rollout')", "input 'Abort?'"))
      const run = await runPipeline(planted, [...GOOD, '--input', 'abort'])
      expect(run.result).toBe('ABORTED')
      expect(steps(run).slice(-2)).toEqual(['apply', 'rollback'])
      expect(description(run)).toBe('failed, rolled back')
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('retries a failed rollback, and does not claim success if it fails again', async () => {
    const run = await deploy('--fail', 'Waits until the migration', '--fail', 'kubectl rollout undo')
    expect(run.result).toBe('FAILURE')
    expect(steps(run).filter((step) => step === 'rollback')).toHaveLength(3)
    expect(messages(run, 'echo').at(-1)).toContain('ROLLBACK FAILED')
    expect(run.log).not.toContain('ROLLED BACK')
    expect(description(run)).toBe('failed, AND NOT ROLLED BACK')
  })

  test('retries a failed apply', async () => {
    const run = await deploy('--fail', 'kubectl apply -k "\\$RENDERED"\\n$', '--fail-times', '2')
    expect(run.result).toBe('SUCCESS')
    expect(steps(run).filter((step) => step === 'apply')).toHaveLength(3)
    expect(steps(run)).not.toContain('rollback')
  })
})

describe('the deployment pipeline with kubectl on a fake Kubernetes', () => {
  const all = (tag: string) =>
    SERVICES.map((service) => `${service.replace('_', '-')}: registry.invalid/ims/${service}:${tag}`).sort()

  function deployForReal(workspace: DeploymentWorkspace): Promise<PipelineRun> {
    const real = ['--exec', '--workdir', workspace.directory, '--path', workspace.shims]
    return runPipeline('deployment.pipeline', [...GOOD, ...real], { SMOKE_WITHIN_S: '2' })
  }

  testForReal('deploys to an empty cluster', async () => {
    await using workspace = await createDeploymentWorkspace()
    const run = await deployForReal(workspace)
    expect(run).toMatchObject({ result: 'SUCCESS', objections: [] })
    expect(workspace.images().sort()).toEqual(all(TAG.new))
    expect(workspace.api.calls.filter((call) => call.startsWith('POST'))).toHaveLength(2)
  })

  testForReal('shows the difference, replaces the running version, and shows no credential', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.old)
    const run = await deployForReal(workspace)
    expect(run.result).toBe('SUCCESS')
    expect(workspace.images().sort()).toEqual(all(TAG.new))
    expect(run.log).toMatch(new RegExp(`^\\+.* image: registry.invalid/ims/producer:${TAG.new}$`, 'm'))
    expect(run.log).not.toContain('****')
    expect(workspace.commands().join('\n')).not.toContain('SECRET-')
  })

  testForReal('restores the previous version if the smoke test fails', async () => {
    await using workspace = await createDeploymentWorkspace({}, 'wrong price')
    await workspace.apply(TAG.old)
    const run = await deployForReal(workspace)
    expect(run.result).toBe('FAILURE')
    expect(run.log).toContain('✗ smoke test failed: GET /order_processing lists the item')
    expect(run.log).toContain('↩ deployment.apps/consumer-two runs its previous revision again')
    expect(description(run)).toBe('failed, rolled back')
    expect(workspace.images().sort()).toEqual(all(TAG.old))
    expect(workspace.api.skus()).toEqual([])
  })

  testForReal('reports that it did not roll back if the previous version does not become ready either', async () => {
    await using workspace = await createDeploymentWorkspace({ broken: 'registry.invalid/ims/consumer_three' })
    await workspace.apply(TAG.old)
    const run = await deployForReal(workspace)
    expect(description(run)).toBe('failed, AND NOT ROLLED BACK')
    expect(run.log).toContain('✗ not rolled back: deployment.apps/consumer-three')
    expect(workspace.images().sort()).toEqual(all(TAG.old))
  })
})
