// An in-memory fake of the Kubernetes API server for kubectl's get, apply, diff and rollout. Its controllers act at once.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

const object = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    generation: z.int().optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    labels: z.record(z.string(), z.string()).optional(),
  }),
  spec: z.record(z.string(), z.unknown()).optional(),
  status: z.record(z.string(), z.unknown()).optional(),
})
export type KubernetesObject = z.infer<typeof object>

const REVISION = 'deployment.kubernetes.io/revision'

interface Kind {
  readonly groupVersion: string
  readonly kind: string
  readonly resource: string
  readonly namespaced: boolean
}
const kind = (groupVersion: string, name: string, namespaced = true): Kind => ({
  groupVersion,
  kind: name,
  resource: `${name.toLowerCase()}s`,
  namespaced,
})
const KINDS = [
  kind('v1', 'Namespace', false),
  kind('v1', 'Service'),
  kind('v1', 'ConfigMap'),
  kind('v1', 'Secret'),
  kind('v1', 'Pod'),
  kind('apps/v1', 'Deployment'),
  kind('apps/v1', 'ReplicaSet'),
  kind('apps/v1', 'StatefulSet'),
  kind('batch/v1', 'Job'),
]

export interface KubernetesDouble extends AsyncDisposable {
  readonly url: string
  /** Write requests that changed something or failed, such as `PATCH deployments/producer`. */
  readonly writes: readonly string[]
  /** The current state of an object. */
  get(kind: string, name: string): KubernetesObject | undefined
  /** The names of all objects of a kind. */
  names(kind: string): string[]
}

export interface Trouble {
  /** Pods of a template that contains this text never become ready. A Job that contains it fails. */
  readonly broken?: string
  /** Requests that fail with status 500, such as `PATCH deployments/producer`. */
  readonly refused?: readonly string[]
}

export async function startKubernetesDouble(trouble: Trouble = {}): Promise<KubernetesDouble> {
  const objects = new Map<string, KubernetesObject>()
  const writes: string[] = []
  let uids = 0
  const key = (resource: string, name: string) => `${resource}/${name}`
  const isBroken = (template: unknown) =>
    trouble.broken !== undefined && JSON.stringify(template).includes(trouble.broken)

  function store(one: KubernetesObject, before: KubernetesObject | undefined): KubernetesObject {
    const specChanged = !isDeepStrictEqual(one.spec, before?.spec)
    const { generation = 0, uid = `uid-${++uids}` } = before?.metadata ?? {}
    const metadata = { ...one.metadata, uid, generation: specChanged ? generation + 1 : generation }
    const spec = one.spec === undefined ? {} : { spec: members.parse(withoutEmpty(one.spec)) }
    const stored = controlled({ ...one, ...spec, metadata })
    objects.set(key(resourceOf(stored), stored.metadata.name), stored)
    return stored
  }

  /** The object with the status and the annotations that the controllers would set. */
  function controlled(one: KubernetesObject): KubernetesObject {
    const template = one.spec?.template
    const observed = { observedGeneration: one.metadata.generation }
    if (one.kind === 'Job')
      return { ...one, status: { conditions: [condition(isBroken(template) ? 'Failed' : 'Complete')] } }
    if (one.kind === 'StatefulSet') {
      const replicas = one.spec?.replicas ?? 1
      const counts = { replicas, readyReplicas: replicas, updatedReplicas: replicas, currentReplicas: replicas }
      return { ...one, status: { ...observed, ...counts, currentRevision: 'a', updateRevision: 'a' } }
    }
    if (one.kind !== 'Deployment') return one
    const revision = revisionFor(one, template)
    const annotations = { ...one.metadata.annotations, [REVISION]: revision }
    const ready = isBroken(template) ? 0 : 1
    const progressing = isBroken(template)
      ? { ...condition('Progressing', 'False'), reason: 'ProgressDeadlineExceeded' }
      : { ...condition('Progressing'), reason: 'NewReplicaSetAvailable' }
    const counts = { replicas: 1, updatedReplicas: ready, readyReplicas: ready, availableReplicas: ready }
    const status = { ...observed, ...counts, conditions: [progressing] }
    return { ...one, metadata: { ...one.metadata, annotations }, status }
  }

  /** As in Kubernetes, a template that was deployed before keeps its ReplicaSet, which gets the next revision number. */
  function revisionFor(deployment: KubernetesObject, template: unknown): string {
    const own = [...objects.values()].filter(
      ({ kind, metadata }) => kind === 'ReplicaSet' && metadata.labels?.app === deployment.metadata.name,
    )
    const numbers = own.map(({ metadata }) => Number(metadata.annotations?.[REVISION]))
    const newest = Math.max(0, ...numbers)
    const existing = own.find(({ spec }) => isDeepStrictEqual(spec?.template, template))
    const number = existing?.metadata.annotations?.[REVISION]
    if (number === String(newest)) return number
    const revision = String(newest + 1)
    const name = existing?.metadata.name ?? `${deployment.metadata.name}-${newest + 1}`
    const { uid } = deployment.metadata
    const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment.metadata.name, uid, controller: true }
    objects.set(key('replicasets', name), {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name,
        namespace: deployment.metadata.namespace,
        uid: existing?.metadata.uid ?? `uid-${++uids}`,
        labels: { app: deployment.metadata.name },
        annotations: { [REVISION]: revision },
        ownerReferences: [owner],
      },
      spec: { replicas: 1, selector: deployment.spec?.selector, template },
    })
    return revision
  }

  async function respond(request: IncomingMessage): Promise<readonly [number, unknown]> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://any')
    if (pathname === '/version') return [200, { major: '1', minor: '36', gitVersion: 'v1.36.0' }]
    if (pathname === '/api') return [200, { kind: 'APIVersions', versions: ['v1'] }]
    if (pathname === '/apis') return [200, groups()]
    if (pathname === '/openapi/v3') return [200, openapiIndex()]
    const match =
      /^\/(?:openapi\/v3\/)?(?:api|apis)\/((?:apps\/|batch\/)?v1)(?:\/namespaces\/[\w-]+(?=\/))?(?:\/(\w+))?(?:\/([\w.-]+))?$/.exec(
        pathname,
      )
    const [, groupVersion = '', resource, name] = match ?? []
    if (match === null) return [404, failure(404, 'NotFound', `no ${pathname}`)]
    if (pathname.startsWith('/openapi')) return [200, openapi(groupVersion)]
    if (resource === undefined) return [200, resources(groupVersion)]
    if (request.method === 'GET' && name === undefined) return [200, list(resource, searchParams)]
    const found = name === undefined ? undefined : objects.get(key(resource, name))
    if (request.method === 'GET') return found ? [200, found] : [404, notFound(resource, name ?? '')]

    const body: unknown = JSON.parse(await textOf(request))
    const dryRun = searchParams.get('dryRun') === 'All'
    const wanted = request.method === 'POST' ? object.parse(body) : object.parse(patched(found, body))
    const write = `${request.method} ${resource}/${wanted.metadata.name}`
    const { namespace } = wanted.metadata
    if (namespace !== undefined && !objects.has(key('namespaces', namespace))) {
      return [404, notFound('namespaces', namespace)]
    }
    if (!dryRun) writes.push(write)
    if (trouble.refused?.includes(write)) return [500, failure(500, 'InternalError', `${write} is refused`)]
    return [request.method === 'POST' ? 201 : 200, dryRun ? wanted : store(wanted, found)]
  }

  function list(resource: string, query: URLSearchParams): unknown {
    const name = /metadata\.name=([\w.-]+)/.exec(query.get('fieldSelector') ?? '')?.[1]
    const label = /app=([\w-]+)/.exec(query.get('labelSelector') ?? '')?.[1]
    const items = [...objects.values()].filter(
      (one) =>
        resourceOf(one) === resource &&
        (name === undefined || one.metadata.name === name) &&
        (label === undefined || one.metadata.labels?.app === label),
    )
    const { groupVersion, kind } = KINDS.find((one) => one.resource === resource) ?? { groupVersion: 'v1', kind: '' }
    return { apiVersion: groupVersion, kind: `${kind}List`, metadata: { resourceVersion: '1' }, items }
  }

  const server = createServer((request, response) => {
    respond(request)
      .catch((error: unknown) => [500, failure(500, 'InternalError', String(error))] as const)
      .then(([status, body]) => {
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
      })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = z.object({ port: z.int() }).parse(server.address())
  return {
    url: `http://127.0.0.1:${port}`,
    writes,
    get: (kind, name) => [...objects.values()].find((one) => one.kind === kind && one.metadata.name === name),
    names: (kind) => [...objects.values()].filter((one) => one.kind === kind).map(({ metadata }) => metadata.name),
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function resourceOf(one: KubernetesObject): string {
  const known = KINDS.find(({ kind }) => kind === one.kind)
  if (known === undefined) throw new Error(`the double does not support ${one.kind}`)
  return known.resource
}

const condition = (type: string, status = 'True') => ({ type, status, reason: type, message: type })

const failure = (code: number, reason: string, message: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message,
})

const notFound = (resource: string, name: string) => ({
  ...failure(404, 'NotFound', `${resource} "${name}" not found`),
  details: { name, kind: resource },
})

/** Removes empty members, as the real server does. kubectl writes `resources: {}` for an omitted member. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty)
  const object = members.safeParse(value)
  if (!object.success) return value
  const entries = Object.entries(object.data).map(([name, member]) => [name, withoutEmpty(member)] as const)
  return Object.fromEntries(entries.filter(([, member]) => member !== null && !isDeepStrictEqual(member, {})))
}

/** Applies a JSON patch of whole members, or a strategic merge patch, which merges lists of named objects by name. */
function patched(target: unknown, patch: unknown): unknown {
  const operations = z
    .array(z.object({ op: z.enum(['replace', 'add']), path: z.string(), value: z.unknown() }))
    .safeParse(patch)
  if (!operations.success) return merged(target, patch)
  return operations.data.reduce<unknown>((one, { path, value }) => {
    const [first = '', second = ''] = path.slice(1).split('/')
    const outer = members.parse(one)
    return { ...outer, [first]: { ...members.parse(outer[first]), [second]: value } }
  }, target)
}

const members = z.record(z.string(), z.unknown())
const named = z.array(z.looseObject({ name: z.string() }))

function merged(target: unknown, patch: unknown): unknown {
  const [oldNamed, newNamed] = [named.safeParse(target), named.safeParse(patch)]
  if (oldNamed.success && newNamed.success) {
    const change = new Map(newNamed.data.map((one) => [one.name, one]))
    const kept = oldNamed.data.filter(({ name }) => change.get(name)?.$patch !== 'delete')
    const added = newNamed.data.filter(({ name, $patch }) => !$patch && !oldNamed.data.some((old) => old.name === name))
    return [...kept.map((old) => merged(old, change.get(old.name) ?? {})), ...added]
  }
  const changes = members.safeParse(patch)
  if (!changes.success) return patch
  const result = { ...members.safeParse(target).data }
  for (const [name, value] of Object.entries(changes.data)) {
    if (value === null) delete result[name]
    else if (!name.startsWith('$')) result[name] = merged(result[name], value)
  }
  return result
}

// ---- discovery, which kubectl reads first

function groups(): unknown {
  const names = [...new Set(KINDS.map(({ groupVersion }) => groupVersion))].filter((name) => name.includes('/'))
  const version = (groupVersion: string) => ({ groupVersion, version: 'v1' })
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: names.map((groupVersion) => ({
      name: groupVersion.split('/')[0],
      versions: [version(groupVersion)],
      preferredVersion: version(groupVersion),
    })),
  }
}

function resources(groupVersion: string): unknown {
  const verbs = ['get', 'list', 'create', 'patch', 'update', 'delete', 'watch']
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: KINDS.filter((one) => one.groupVersion === groupVersion).map(({ resource, kind, namespaced }) => ({
      name: resource,
      singularName: kind.toLowerCase(),
      namespaced,
      kind,
      verbs,
    })),
  }
}

const pathOf = (groupVersion: string) => `${groupVersion.includes('/') ? 'apis' : 'api'}/${groupVersion}`

function openapiIndex(): unknown {
  const entries = KINDS.map(({ groupVersion }) => [
    pathOf(groupVersion),
    { serverRelativeURL: `/openapi/v3/${pathOf(groupVersion)}` },
  ])
  return { paths: Object.fromEntries(entries) }
}

/** Declares only that the server supports dry runs and field validation. */
function openapi(groupVersion: string): unknown {
  const parameters = ['dryRun', 'fieldValidation'].map((name) => ({ name, in: 'query', schema: { type: 'string' } }))
  const version = { group: groupVersion.split('/').slice(0, -1).join(''), version: 'v1' }
  const paths = KINDS.filter((one) => one.groupVersion === groupVersion).map(({ resource, kind }) => [
    `/${pathOf(groupVersion)}/${resource}/{name}`,
    { patch: { parameters, 'x-kubernetes-group-version-kind': { ...version, kind }, responses: {} } },
  ])
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.36.0' }, paths: Object.fromEntries(paths) }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
