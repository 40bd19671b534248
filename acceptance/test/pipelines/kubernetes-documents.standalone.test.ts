// Runs the command blocks of docs/deploy-kubernetes.md and docs/jenkins.md that need no pod, with kubectl against a fake Kubernetes.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { runToEnd } from 'testkit'
import { z } from 'zod'
import { codeBlocks } from '../documents/documents.ts'
import { createDeploymentWorkspace, type DeploymentWorkspace, TAG, withoutKubectl } from './deployment-workspace.ts'
import { itWith, ROOT } from './simulator.ts'

const test = itWith(withoutKubectl())
const secret = z.object({ data: z.record(z.string(), z.string()) })

/** The block of a document that begins with `beginning`. */
function blockIn(document: string, beginning: string): string {
  const found = codeBlocks(readFileSync(join(ROOT, 'docs', document), 'utf8'), 'sh').filter((block) =>
    block.startsWith(beginning),
  )
  expect(found).toHaveLength(1)
  return found[0] ?? ''
}

/** Runs a block, which must succeed. Resolves with its standard output and standard error. */
async function run({ shims }: DeploymentWorkspace, block: string): Promise<readonly [out: string, err: string]> {
  const env = { ...process.env, KUBECONFIG: 'ims-kubeconfig-single', PATH: `${shims}:${process.env.PATH}` }
  const { code, out, err } = await runToEnd({ command: ['bash', '-euc', block], cwd: ROOT, env })
  expect([code, code === 0 ? '' : err]).toEqual([0, ''])
  return [out, err]
}

async function addSecret(workspace: DeploymentWorkspace, name: string, data: Record<string, string>): Promise<void> {
  const file = join(workspace.directory, `${name}.json`)
  writeFileSync(
    file,
    JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'ims' }, type: 'Opaque', data }),
  )
  expect(await workspace.kubectl('apply', '-f', file)).toMatchObject({ code: 0 })
}

test('an API key is generated, and its line becomes the content of the Secret', async () => {
  await using workspace = await createDeploymentWorkspace()
  await workspace.apply(TAG.old)
  await addSecret(workspace, 'producer-api-keys', {})
  const file = join(workspace.directory, 'keys')
  const block = blockIn('deploy-kubernetes.md', 'npm run --silent api-key').replace(
    /(>> |--wrap=0 )api-keys/g,
    `$1${file}`,
  )
  const [, err] = await run(workspace, block)
  const [key = ''] = /(?<=^| )[\w-]{30,}$/m.exec(err) ?? []
  const { data } = secret.parse(workspace.kubernetes.get('Secret', 'producer-api-keys'))
  const lines = Buffer.from(data['api-keys'] ?? '', 'base64').toString()
  expect(lines).toBe(`shop read,write ${createHash('sha256').update(key).digest('hex')}\n`)
})

test('a password is read from its Secret', async () => {
  await using workspace = await createDeploymentWorkspace()
  await workspace.apply(TAG.old)
  const password = Buffer.from('the password').toString('base64')
  await addSecret(workspace, 'rabbitmq-account', { 'operator-password': password })
  const block = blockIn('deploy-kubernetes.md', 'kubectl --namespace ims get secret')
  expect(await run(workspace, block)).toEqual(['the password', ''])
})

test('a Deployment is rolled back to an earlier revision', async () => {
  await using workspace = await createDeploymentWorkspace()
  await workspace.apply(TAG.old)
  await workspace.apply(TAG.new)
  const block = blockIn('jenkins.md', 'kubectl --namespace ims get pods').replace('--to-revision=7', '--to-revision=1')
  const [out] = await run(workspace, block)
  expect(out).toMatch(/^REVISION[\s\S]*^1 [\s\S]*^2 [\s\S]*consumer-two rolled back$/m)
  expect(workspace.images()).toContain(`consumer-two: registry.invalid/ims/consumer_two:${TAG.old}`)
  expect(workspace.images()).toContain(`producer: registry.invalid/ims/producer:${TAG.new}`)
})
