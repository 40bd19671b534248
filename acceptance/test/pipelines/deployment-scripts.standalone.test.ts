// Runs the shell scripts of the deployment with kubectl against a fake Kubernetes.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { createDeploymentWorkspace, DEPLOYMENTS, SERVICES, TAG, withoutKubectl } from './deployment-workspace.ts'
import { itWith, ROOT } from './simulator.ts'

const test = itWith(withoutKubectl())
const object = z.object({
  kind: z.string(),
  metadata: z.object({ name: z.string() }),
  spec: z.looseObject({ ports: z.array(z.unknown()).optional() }).optional(),
})
const REGISTRY = 'registry.example.org:5000/team'
const all = (tag: string) =>
  SERVICES.map((service) => `${service.replace('_', '-')}: registry.invalid/ims/${service}:${tag}`)

describe('render.sh', () => {
  test('names every image by its pushed digest, and changes no file of the overlay', async () => {
    await using workspace = await createDeploymentWorkspace()
    const git = (...args: readonly string[]) =>
      execFileSync('git', args, { cwd: workspace.directory, encoding: 'utf8' })
    git('init', '--quiet')
    writeFileSync(join(workspace.directory, '.gitignore'), '.local/\n')
    git('add', '.')
    const pushed = SERVICES.map((service, n) => `${REGISTRY}/ims/${service}@sha256:${String(n).repeat(64)}`)
    const { code, output } = await workspace.run('render', { IMS_REGISTRY: REGISTRY, IMAGES: pushed.join('\n') })
    expect({ code, failed: code === 0 ? '' : output }).toEqual({ code: 0, failed: '' })
    for (const image of pushed) expect(output).toContain(`image: ${image}\n`)
    expect(output).not.toMatch(/:dev|registry\.invalid/)
    expect(output).toContain('image: rabbitmq:4')
    expect(
      git('status', '--porcelain')
        .split('\n')
        .filter((line) => !line.startsWith('A  ')),
    ).toEqual([''])
  })

  test('names Jobs after the version, so that a new version migrates and the same one does not migrate again', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.old)
    await workspace.apply(TAG.old)
    expect(workspace.kubernetes.names('Job')).toEqual([expect.stringMatching(/^migrate-[0-9a-f]{10}$/)])
    await workspace.apply(TAG.new)
    expect(workspace.kubernetes.names('Job')).toHaveLength(2)
    const [name = ''] = workspace.kubernetes.names('Job')
    expect(workspace.kubernetes.get('Job', name)?.spec).toMatchObject({ ttlSecondsAfterFinished: 604800 })
  })

  test('requires a digest of each image if there is a registry, because a tag can be moved', async () => {
    await using workspace = await createDeploymentWorkspace()
    const [first = '', ...others] = SERVICES.map((service) => `${REGISTRY}/ims/${service}@sha256:${'a'.repeat(64)}`)
    const refused = {
      code: 1,
      output: `✗ IMAGES contains no digest of the image ${REGISTRY}/ims/${SERVICES[0]}\n`,
    }
    for (const wrong of [
      '',
      first.replace('@', ':'),
      first.replace('team', 'other'),
      first.slice(0, -1),
      `x${first}`,
    ]) {
      const IMAGES = [wrong, ...others].join('\n')
      expect(await workspace.run('render', { IMS_REGISTRY: REGISTRY, IMAGES })).toEqual(refused)
    }
  })

  test('rejects an overlay that does not exist, lacks an image, or has an image of ours with another tag', async () => {
    await using workspace = await createDeploymentWorkspace()
    const missing = await workspace.run('render', { OVERLAY: 'kubernetes/overlays/moon' })
    expect(missing).toEqual({ code: 1, output: '✗ there is no overlay kubernetes/overlays/moon\n' })
    workspace.writeOverlay({ services: SERVICES.filter((name) => name !== 'consumer_four') })
    const incomplete = await workspace.run('render')
    expect(incomplete).toEqual({ code: 1, output: '✗ kubernetes/overlays/single has no image ims/consumer_four\n' })
    workspace.writeOverlay({ services: [...SERVICES, 'consumer_nine'] })
    const untagged = await workspace.run('render')
    expect(untagged.code).toBe(1)
    expect(untagged.output).toContain('has images of another commit: image: registry.invalid/ims/consumer_nine:dev')
  })
})

describe('render.sh on the overlays of this repository', () => {
  for (const overlay of readdirSync(join(ROOT, 'kubernetes/overlays'))) {
    test(`sets the tag on all our images in ${overlay}, whose namespace and service match the pipeline`, async () => {
      await using workspace = await createDeploymentWorkspace()
      const { code, output } = await workspace.run('render', { OVERLAY: join(ROOT, 'kubernetes/overlays', overlay) })
      expect({ code, failed: code === 0 ? '' : output }).toEqual({ code: 0, failed: '' })
      const { output: manifests } = await workspace.kubectl('kustomize', '.local/deployment')
      const ours = [...manifests.matchAll(/image: (\S+\/ims\/\S+)/g)].map(([, image]) => image)
      expect(new Set(ours)).toEqual(new Set(SERVICES.map((service) => `registry.invalid/ims/${service}:${TAG.new}`)))
      const objects = z.array(object).parse(parseAllDocuments(manifests).map((document) => document.toJS()))
      const named = (kind: string) => objects.filter((one) => one.kind === kind).map(({ metadata }) => metadata.name)
      expect(named('Namespace')).toEqual(['ims'])
      expect(named('Deployment').sort()).toEqual([...DEPLOYMENTS].sort())
      expect(named('Job').every((name) => /-[0-9a-f]{10}$/.test(name))).toBe(true)
      const producer = objects.find(({ kind, metadata }) => kind === 'Service' && metadata.name === 'producer')
      expect(producer?.spec?.ports).toContainEqual(expect.objectContaining({ port: 5000 }))
    })
  }
})

describe('on-main.sh', () => {
  test('accepts only commits on main', async () => {
    await using workspace = await createDeploymentWorkspace()
    const git = (...args: readonly string[]) =>
      execFileSync('git', args, { cwd: workspace.directory, encoding: 'utf8', stdio: 'pipe' }).trim()
    const commit = (message: string) => {
      git('-c', 'user.name=a', '-c', 'user.email=a@example.org', 'commit', '--quiet', '--allow-empty', '-m', message)
      return git('rev-parse', 'HEAD')
    }
    git('init', '--quiet', '--initial-branch', 'main')
    const first = commit('first')
    git('checkout', '--quiet', '-b', 'other')
    const other = commit('other')
    git('checkout', '--quiet', 'main')
    const last = commit('last')
    for (const tag of [first, last]) expect(await workspace.run('on-main', { IMS_TAG: tag })).toMatchObject({ code: 0 })
    for (const tag of [other, 'a'.repeat(40)]) {
      const { code, output } = await workspace.run('on-main', { IMS_TAG: tag })
      expect(code).toBe(1)
      expect(output).toContain(`✗ ${tag} is not on main, and this environment accepts only commits on main`)
    }
  })
})

describe('an account that may read the namespace, but not change it', () => {
  test('can deploy: unchanged cluster resources are not written', async () => {
    const refused = ['PATCH namespaces/ims', 'PUT namespaces/ims']
    await using workspace = await createDeploymentWorkspace({ refused })
    await workspace.apply(TAG.old)
    await workspace.run('render')
    expect(await workspace.run('diff')).toMatchObject({ code: 0 })
    await workspace.apply(TAG.new)
    expect(workspace.images().sort()).toEqual(all(TAG.new).sort())
    expect(workspace.kubernetes.writes.filter((write) => refused.includes(write))).toEqual([])
  })
})

describe('diff.sh', () => {
  test('lists every object as new if the namespace does not exist yet', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.run('render')
    const { code, output } = await workspace.run('diff')
    expect(code).toBe(0)
    expect(output).toContain('There is no namespace ims yet, so all of this is new:')
    expect(output).toContain('deployment.apps/producer created (dry run)')
    expect(workspace.kubernetes.writes).toEqual([])
  })

  test('shows the differences in the log and in a report, and changes nothing', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.old)
    const before = workspace.kubernetes.writes.length
    await workspace.run('render')
    const { code, output } = await workspace.run('diff')
    expect(code).toBe(0)
    expect(output).toMatch(new RegExp(`^-.* image: registry.invalid/ims/producer:${TAG.old}$`, 'm'))
    expect(output).toMatch(new RegExp(`^\\+.* image: registry.invalid/ims/producer:${TAG.new}$`, 'm'))
    expect(readFileSync(join(workspace.directory, 'reports/deployment.diff'), 'utf8')).toBe(output)
    expect(workspace.kubernetes.writes).toHaveLength(before)
  })

  test('reports that there are no differences', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.new)
    expect(await workspace.run('diff')).toEqual({
      code: 0,
      output: 'No differences: this version is already deployed.\n',
    })
  })

  test('fails if the comparison itself fails', async () => {
    await using workspace = await createDeploymentWorkspace({ refused: ['PATCH deployments/producer'] })
    await workspace.apply(TAG.old)
    await workspace.run('render')
    const { code, output } = await workspace.run('diff')
    expect(code).toBe(1)
    expect(output).toMatch(/✗ the differences could not be determined \(exit code ([2-9]|\d{2,})\)/)
  })
})

describe('rollout.sh', () => {
  test('passes if the Job is complete and every workload has been rolled out', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.new)
    const { code, output } = await workspace.run('rollout')
    expect(code).toBe(0)
    expect(output).toMatch(/job\.batch\/migrate-\w+ is complete/)
    for (const name of DEPLOYMENTS) expect(output).toContain(`deployment "${name}" successfully rolled out`)
    expect(workspace.commands()).toContainEqual(expect.stringContaining('rollout status statefulset.apps/rabbitmq'))
  })

  test('fails on a Deployment that does not become ready, and names it', async () => {
    await using workspace = await createDeploymentWorkspace({
      broken: `registry.invalid/ims/consumer_three:${TAG.new}`,
    })
    await workspace.apply(TAG.new)
    const { code, output } = await workspace.run('rollout')
    expect(code).toBe(1)
    expect(output).toContain('✗ deployment.apps/consumer-three is not ready')
  })

  test('fails on a failed Job without waiting for the timeout', async () => {
    await using workspace = await createDeploymentWorkspace({ broken: '"name":"migrate"' })
    await workspace.apply(TAG.new)
    const { code, output } = await workspace.run('rollout', { ROLLOUT_WITHIN_S: '600' })
    expect(code).toBe(1)
    expect(output).toMatch(/✗ job\.batch\/migrate-\w+ failed, see its log above/)
  })
})

describe('smoke-test.sh', () => {
  test('fails and prints the error of kubectl if there is no tunnel', async () => {
    await using workspace = await createDeploymentWorkspace()
    writeFileSync(
      join(workspace.shims, 'kubectl'),
      '#!/bin/bash\necho "error: services \\"producer\\" not found"; exit 1\n',
    )
    const { code, output } = await workspace.run('smoke-test')
    expect(code).toBe(1)
    expect(output).toContain('✗ there is no tunnel to service/producer:5000: error: services "producer" not found')
  })
})

describe('rollback.sh', () => {
  test('restores the changed Deployments and the configuration, and changes nothing else', async () => {
    // The apply stops halfway: consumers one, two and three were updated, four and the producer were not.
    const refused = ['PATCH deployments/consumer-four', 'PATCH deployments/producer']
    await using workspace = await createDeploymentWorkspace({ refused })
    await workspace.apply(TAG.old)
    workspace.writeOverlay({ level: 'nonsense' })
    await expect(workspace.deploy(TAG.new)).rejects.toThrow(/is refused/)
    expect(workspace.images()).toContain(`consumer-one: registry.invalid/ims/consumer_one:${TAG.new}`)
    const before = workspace.kubernetes.writes.length

    const { code, output } = await workspace.run('rollback')
    expect(code).toBe(0)
    expect(workspace.images().sort()).toEqual(all(TAG.old).sort())
    expect(workspace.kubernetes.get('ConfigMap', 'ims-configuration')?.data).toEqual({ LOG_LEVEL: 'info' })
    expect(output).toContain('✓ 3 Deployment(s) rolled back')
    const touched = new Set(workspace.kubernetes.writes.slice(before))
    expect([...touched].sort()).toEqual([
      'PATCH configmaps/ims-configuration',
      'PATCH deployments/consumer-one',
      'PATCH deployments/consumer-three',
      'PATCH deployments/consumer-two',
    ])
    const order = workspace.commands().map((command) => command.split(' ').slice(0, 3).join(' '))
    expect(order.lastIndexOf('kubectl apply -f')).toBeLessThan(order.indexOf('kubectl rollout undo'))
  })

  test('restores the version that was running, even if another one was applied last', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.old)
    await workspace.apply('c'.repeat(40))
    await workspace.kubectl('rollout', 'undo', 'deployment/producer', '--namespace', 'ims')
    expect(workspace.images()).toContain(`producer: registry.invalid/ims/producer:${TAG.old}`)
    await workspace.deploy(TAG.new)
    expect((await workspace.run('rollback')).code).toBe(0)
    expect(workspace.images()).toContain(`producer: registry.invalid/ims/producer:${TAG.old}`)
    expect(workspace.images()).toContain(`consumer-one: registry.invalid/ims/consumer_one:${'c'.repeat(40)}`)
  })

  test('does not prevent the next deployment from removing a variable that the failed version had removed', async () => {
    await using workspace = await createDeploymentWorkspace()
    const producer = () => JSON.stringify(workspace.kubernetes.get('Deployment', 'producer')?.spec)
    workspace.writeOverlay({ variables: ['KEPT', 'DROPPED'] })
    await workspace.apply(TAG.old)
    workspace.writeOverlay({ variables: ['KEPT'] })
    await workspace.deploy(TAG.new)
    expect(producer()).not.toContain('DROPPED')
    await workspace.run('rollback')
    expect(producer()).toContain('DROPPED')
    await workspace.apply('c'.repeat(40))
    expect(producer()).toContain('KEPT')
    expect(producer()).not.toContain('DROPPED')
  })

  test('fails in every attempt while a restored Deployment is not ready', async () => {
    await using workspace = await createDeploymentWorkspace({ broken: `registry.invalid/ims/consumer_one:${TAG.old}` })
    await workspace.apply(TAG.old)
    await workspace.deploy(TAG.new)
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, output } = await workspace.run('rollback')
      expect(code).toBe(1)
      expect(output).toContain('↩ deployment.apps/producer runs its previous revision again')
      expect(output).toContain('✗ not rolled back: deployment.apps/consumer-one')
    }
  })

  test('names a changed StatefulSet, and does not restore it', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.old)
    workspace.writeOverlay({ rabbitmq: '5' })
    await workspace.deploy(TAG.old)
    const before = workspace.kubernetes.writes.length
    const { code, output } = await workspace.run('rollback')
    expect(code).toBe(0)
    expect(output).toContain('! statefulset.apps/rabbitmq was changed too, and is not rolled back')
    expect(workspace.kubernetes.writes).toHaveLength(before)
  })

  test('leaves the first deployment unchanged, because there is no previous version', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.deploy(TAG.new)
    expect(await workspace.run('rollback')).toEqual({ code: 0, output: '✓ 0 Deployment(s) rolled back\n' })
    expect(workspace.images().sort()).toEqual(all(TAG.new).sort())
  })

  test('fails without running kubectl if there is no record of the previous state', async () => {
    await using workspace = await createDeploymentWorkspace()
    const { code, output } = await workspace.run('rollback')
    expect(code).toBe(1)
    expect(output).toContain('✗ there is no record of the previous state')
    expect(workspace.commands()).toEqual([''])
  })

  test('names every Deployment that it could not restore', async () => {
    await using workspace = await createDeploymentWorkspace()
    await workspace.apply(TAG.old)
    await workspace.deploy(TAG.new)
    await workspace.kubernetes[Symbol.asyncDispose]()
    const { code, output } = await workspace.run('rollback')
    expect(code).toBe(1)
    for (const name of DEPLOYMENTS) expect(output).toMatch(new RegExp(`✗ not rolled back: .*deployment\\.apps/${name}`))
  })
})
