// A work tree with a small overlay, a kubectl that uses the fake Kubernetes, and a fake API behind its port forwarding.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serviceNames } from '@ims/accounts/suite'
import { runToEnd } from 'testkit'
import { type ApiDouble, type Flaw, startApiDouble } from './api-double.ts'
import { type KubernetesDouble, startKubernetesDouble, type Trouble } from './kubernetes-double.ts'
import { LIBRARY, ROOT } from './simulator.ts'

export const SERVICES = serviceNames
export const DEPLOYMENTS = SERVICES.map((service) => service.replace('_', '-'))
export const TAG = { old: 'a'.repeat(40), new: 'b'.repeat(40) }
const RESOURCES = join(LIBRARY, 'resources/ims')

/** The parts of the overlay that differ between deployments. */
export interface Overlay {
  readonly level?: string
  readonly variables?: readonly string[]
  readonly services?: readonly string[]
  readonly rabbitmq?: string
}

export interface ScriptRun {
  readonly code: unknown
  readonly output: string
}

export interface DeploymentWorkspace extends AsyncDisposable {
  readonly directory: string
  /** The directory with the kubectl of this work tree. It must be the first in PATH. */
  readonly shims: string
  readonly kubernetes: KubernetesDouble
  readonly api: ApiDouble
  /** Every call of kubectl so far. */
  commands(): string[]
  writeOverlay(overlay: Overlay): void
  /** Runs one script of the shared library, as the pipeline would. */
  run(script: string, env?: Readonly<Record<string, string>>): Promise<ScriptRun>
  kubectl(...args: readonly string[]): Promise<ScriptRun>
  /** Renders and applies the overlay. Rejects if either fails. */
  apply(tag: string): Promise<void>
  /** Like `apply`, but records the previous state before it applies the overlay. */
  deploy(tag: string): Promise<void>
  /** The image of each Deployment, such as `consumer-one: registry.invalid/ims/consumer_one:…`. */
  images(): string[]
}

/** The reason why kubectl cannot run here, or undefined. */
export function withoutKubectl(): string | undefined {
  return kubectl() === undefined ? 'kubectl is not installed' : undefined
}

export async function createDeploymentWorkspace(
  trouble: Trouble = {},
  flaw: Flaw = 'none',
): Promise<DeploymentWorkspace> {
  const parent = mkdtempSync(join(tmpdir(), 'ims-deployment-'))
  const [directory, shims] = [join(parent, 'work'), join(parent, 'shims')]
  const overlay = join(directory, 'kubernetes/overlays/single')
  for (const path of [overlay, shims, join(directory, 'pipeline_files')]) mkdirSync(path, { recursive: true })
  cpSync(join(ROOT, 'pipeline_files/smoke-test.sh'), join(directory, 'pipeline_files/smoke-test.sh'))
  for (const name of SERVICES) {
    mkdirSync(join(directory, name))
    writeFileSync(join(directory, name, 'Dockerfile'), '')
  }
  const kubernetes = await startKubernetesDouble(trouble)
  const api = await startApiDouble(flaw)
  const log = join(parent, 'log')
  writeFileSync(log, '')
  writeFileSync(join(parent, 'kubeconfig'), kubeconfig(kubernetes.url))
  writeFileSync(join(shims, 'kubectl'), shim(parent, log, new URL(api.url).port))
  chmodSync(join(shims, 'kubectl'), 0o755)

  const writeOverlay = (wanted: Overlay) => {
    writeFileSync(join(overlay, 'kustomization.yaml'), 'resources: [all.json]\n')
    writeFileSync(
      join(overlay, 'all.json'),
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests(wanted) }),
    )
  }
  const execute = async (program: string, args: readonly string[], env: Readonly<Record<string, string>>) => {
    const own = {
      KUBECONFIG: 'ims-kubeconfig-single',
      OVERLAY: 'kubernetes/overlays/single',
      RENDERED: '.local/deployment',
      NAMESPACE: 'ims',
      PRODUCER: 'service/producer:5000',
      IMS_TAG: TAG.new,
      SERVICES: SERVICES.join(' '),
      SMOKE_WITHIN_S: '1',
      PATH: `${shims}:${process.env.PATH}`,
    }
    const where = { cwd: directory, env: { ...process.env, ...own, ...env } }
    const { code, out, err } = await runToEnd({ command: [program, ...args], ...where })
    return { code, output: out + err }
  }
  const run = (script: string, env: Readonly<Record<string, string>> = {}) =>
    execute(join(RESOURCES, `${script}.sh`), [], env)
  const runAll = async (scripts: readonly string[], tag: string) => {
    for (const script of scripts) {
      const { code, output } = await run(script, { IMS_TAG: tag })
      if (code !== 0) throw new Error(`${script}: ${output}`)
    }
  }
  writeOverlay({})
  return {
    directory,
    shims,
    kubernetes,
    api,
    commands: () => readFileSync(log, 'utf8').trimEnd().split('\n'),
    writeOverlay,
    run,
    kubectl: (...args) => execute(join(shims, 'kubectl'), args, {}),
    apply: (tag) => runAll(['render', 'apply'], tag),
    deploy: (tag) => runAll(['render', 'record', 'apply'], tag),
    images: () =>
      kubernetes
        .names('Deployment')
        .map(
          (name) =>
            `${name}: ${/"image":"([^"]+)"/.exec(JSON.stringify(kubernetes.get('Deployment', name)?.spec))?.[1]}`,
        ),
    async [Symbol.asyncDispose]() {
      await kubernetes[Symbol.asyncDispose]()
      await api[Symbol.asyncDispose]()
      rmSync(parent, { recursive: true })
    },
  }
}

function manifests({ level = 'info', variables = [], services = SERVICES, rabbitmq = '4' }: Overlay): unknown[] {
  const metadata = (name: string) => ({ name, namespace: 'ims' })
  const pod = (name: string, image: string, more = {}) => ({
    metadata: { labels: { app: name } },
    spec: { containers: [{ name, image, ...more }] },
  })
  const selector = (name: string) => ({ matchLabels: { app: name } })
  const env = variables.map((name) => ({ name, value: 'x' }))
  const migrate = { ...pod('migrate', 'registry.invalid/ims/consumer_two:dev').spec, restartPolicy: 'Never' }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ims' } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata('ims-configuration'), data: { LOG_LEVEL: level } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata('producer'),
      spec: { ports: [{ name: 'http', port: 5000 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: metadata('rabbitmq'),
      spec: {
        replicas: 1,
        serviceName: 'rabbitmq',
        selector: selector('rabbitmq'),
        updateStrategy: { type: 'RollingUpdate' },
        template: pod('rabbitmq', `rabbitmq:${rabbitmq}`),
      },
    },
    { apiVersion: 'batch/v1', kind: 'Job', metadata: metadata('migrate'), spec: { template: { spec: migrate } } },
    ...services.map((service) => {
      const name = service.replace('_', '-')
      const spec = {
        replicas: 1,
        selector: selector(name),
        template: pod(name, `registry.invalid/ims/${service}:dev`, { env }),
      }
      return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: metadata(name), spec }
    }),
  ]
}

/** A kubectl that uses the fake Kubernetes if it has the credential of the environment `single`. It simulates the port forwarding itself. */
function shim(parent: string, log: string, apiPort: string): string {
  return `#!/bin/bash
echo "kubectl $*" >>'${log}'
if [[ $KUBECONFIG != *ims-kubeconfig-single* ]]; then echo "no credential: $KUBECONFIG" >&2; exit 97; fi
if [[ $1 == port-forward ]]; then echo 'Forwarding from 127.0.0.1:${apiPort} -> 5000'; exec sleep 60; fi
KUBECONFIG='${parent}/kubeconfig' KUBECACHEDIR='${parent}/cache' exec '${kubectl()}' "$@"
`
}

function kubeconfig(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'double', cluster: { server } }],
    contexts: [{ name: 'double', context: { cluster: 'double', user: 'nobody' } }],
    users: [{ name: 'nobody', user: {} }],
    'current-context': 'double',
  })
}

function kubectl(): string | undefined {
  try {
    return execFileSync('sh', ['-c', 'command -v kubectl'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}
