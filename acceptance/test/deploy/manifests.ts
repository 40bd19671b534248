// The files of kubernetes/ as objects, so that tests can check them without a cluster and without kubectl.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { ROOT } from '../stack.ts'

export const KUBERNETES = join(ROOT, 'kubernetes')
export const OVERLAYS = readdirSync(join(KUBERNETES, 'overlays')).sort()
const BASE = join(KUBERNETES, 'manifest')

const labels = z.record(z.string(), z.string())
const probe = z.looseObject({
  httpGet: z.looseObject({ port: z.string() }).optional(),
  tcpSocket: z.looseObject({ port: z.string() }).optional(),
})
const named = z.object({ name: z.string() })
const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })).default([]),
  envFrom: z.array(z.object({ configMapRef: named })).default([]),
  ports: z.array(z.object({ name: z.string(), containerPort: z.int() })).default([]),
  startupProbe: probe.optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  lifecycle: z.object({ preStop: z.looseObject({ sleep: z.object({ seconds: z.int() }).optional() }) }).optional(),
  volumeMounts: z.array(z.looseObject({ name: z.string() })).default([]),
})
export type Container = z.output<typeof container>

const secretItems = z.object({ name: z.string(), items: z.array(z.object({ key: z.string(), path: z.string() })) })
const volume = z.strictObject({
  name: z.string(),
  configMap: named.optional(),
  emptyDir: z.looseObject({}).optional(),
  persistentVolumeClaim: z.object({ claimName: z.string() }).optional(),
  projected: z.looseObject({ sources: z.array(z.strictObject({ secret: secretItems })) }).optional(),
})
const podSpec = z.looseObject({
  serviceAccountName: z.string(),
  automountServiceAccountToken: z.boolean(),
  terminationGracePeriodSeconds: z.int(),
  securityContext: z.looseObject({}),
  containers: z.array(container),
  initContainers: z.array(container).default([]),
  volumes: z.array(volume).default([]),
})
const template = z.object({ metadata: z.object({ labels }), spec: podSpec })
const workload = z.looseObject({ selector: z.object({ matchLabels: labels }).optional(), template })
const cronJob = z.looseObject({ jobTemplate: z.object({ spec: workload }) })

const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional(), labels }),
  spec: z.unknown().optional(),
  data: z.record(z.string(), z.string()).optional(),
})
export interface Manifest extends z.output<typeof manifest> {
  /** Its path below kubernetes/manifest. */
  readonly file: string
}

/** A workload (Deployment, StatefulSet, Job or CronJob) with the labels and the specification of its pods. */
export interface Workload {
  readonly kind: string
  readonly name: string
  readonly selector: Readonly<Record<string, string>> | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly pod: z.output<typeof podSpec>
  readonly containers: readonly Container[]
}

export const textOf = (file: string): string => readFileSync(join(BASE, file), 'utf8')

/** The manifests in one file of kubernetes/manifest. */
export const manifestsIn = (file: string): Manifest[] =>
  parseAllDocuments(textOf(file)).map((document) => ({ ...manifest.parse(document.toJS()), file }))

/** The manifests in one file of kubernetes/overlays. */
export const manifestsOfOverlay = (file: string) =>
  parseAllDocuments(readFileSync(join(KUBERNETES, 'overlays', file), 'utf8')).map((document) =>
    manifest.parse(document.toJS()),
  )

const kustomization = z.looseObject({ resources: z.array(z.string()) })

/** The files that kubernetes/manifest/kustomization.yaml names, without the program of the Job `accounts` that it includes. */
export const listed: readonly string[] = kustomization
  .parse(parse(textOf('kustomization.yaml')))
  .resources.filter((resource) => !resource.startsWith('../'))

/** The YAML files in kubernetes/manifest, apart from the kustomization. */
export const present: readonly string[] = readdirSync(BASE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  .sort()

export const manifests: readonly Manifest[] = present.flatMap(manifestsIn)

export const ofKind = (kind: string): Manifest[] => manifests.filter((each) => each.kind === kind)

export const workloads: readonly Workload[] = manifests.flatMap(({ kind, metadata: { name }, spec }) => {
  const found = workload.safeParse(spec).data ?? cronJob.safeParse(spec).data?.jobTemplate.spec
  if (found === undefined) return []
  const { metadata, spec: pod } = found.template
  const containers = [...pod.initContainers, ...pod.containers]
  return [{ kind, name, selector: found.selector?.matchLabels, labels: metadata.labels, pod, containers }]
})

/** Returns true if the pods of a workload have all labels in `wanted`. */
export const selects = (wanted: Readonly<Record<string, string>>, { labels }: Pick<Workload, 'labels'>): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value)

export const portsOf = ({ containers }: Workload): Container['ports'] => containers.flatMap(({ ports }) => ports)

/** A kustomization as kubectl renders it. */
export const rendered = (directory: string): string =>
  execFileSync('kubectl', ['kustomize', directory], { encoding: 'utf8', maxBuffer: 16 * 1024 * 1024 })

/** The reason why kustomizations cannot be rendered here, or undefined. Debian 12's kubectl (1.20) supports neither components nor `labels`. */
export function withoutKubectl(): string | undefined {
  try {
    execFileSync('kubectl', ['kustomize', join(KUBERNETES, 'overlays/keda')], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'kubectl 1.22 or later is not installed'
  }
}
