// Checks the manifests without a cluster: they are complete, consistent and restricted, and all names resolve.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { makeAccounts } from '@ims/accounts'
import { type QueueName, queues, services } from '@ims/accounts/suite'
import { consumerEnvironment } from '@ims/messaging'
import { describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import { QUERY_PREFETCH_MAX } from '../../../messaging/src/incoming/consumer.ts'
import { ROOT } from '../stack.ts'
import {
  type Container,
  KUBERNETES,
  listed,
  type Manifest,
  manifestsIn,
  OVERLAYS,
  ofKind,
  portsOf,
  present,
  rendered,
  selects,
  textOf,
  type Workload,
  withoutKubectl,
  workloads,
} from './manifests.ts'
import { RESTRICTIONS } from './restrictions.ts'

const scaledObject = z.object({
  spec: z.object({
    advanced: z.object({
      scalingModifiers: z.object({ formula: z.string(), target: z.string() }),
      horizontalPodAutoscalerConfig: z.object({
        behavior: z.object({ scaleUp: z.object({ stabilizationWindowSeconds: z.int() }) }),
      }),
    }),
    pollingInterval: z.int(),
    triggers: z.array(z.object({ type: z.string(), name: z.string(), metadata: z.record(z.string(), z.string()) })),
  }),
})

const CONSUMERS = services.filter(({ consumes }) => consumes.length > 0)
const namesOf = (all: readonly Manifest[]) => all.map(({ metadata }) => metadata.name)
const known = (kind: string) => namesOf(ofKind(kind))
const each = workloads.map((workload) => [`${workload.kind} ${workload.name}`, workload] as const)
const eachContainer = workloads.flatMap(({ kind, name, containers }) =>
  containers.map((container) => [`${kind} ${name}, ${container.name}`, container] as const),
)
const runsForEver = ({ kind }: Workload) => ['Deployment', 'StatefulSet'].includes(kind)

describe('the files of kubernetes/manifest', () => {
  it('have the expected names', () => {
    const kinds = services.map(({ name }) => [name, 'deployment'] as const)
    for (const [component, kind] of [...kinds, ['rabbitmq', 'statefulset'], ['mysql', 'statefulset']] as const) {
      const name = component.replace('_', '-')
      expect(present).toContain(`${component}/${name}-${kind}.yaml`)
      expect(present).toContain(`${component}/${name}-service.yaml`)
    }
  })

  it('are all in the kustomization, each once', () => {
    expect([...listed].sort()).toEqual(present)
  })

  it.each(present)('%s starts with a sentence about its purpose, and names its namespace', (file) => {
    expect(textOf(file)).toMatch(/^# [A-Z“a-z].{20,}/)
    for (const { kind, metadata } of manifestsIn(file)) {
      expect(metadata.namespace).toBe(kind === 'Namespace' ? undefined : 'ims')
      expect(metadata.labels['app.kubernetes.io/name']).toEqual(expect.any(String))
    }
  })

  it('contain no password: Secrets are empty, and variables name files', () => {
    for (const secret of ofKind('Secret')) expect(secret).not.toHaveProperty('stringData')
    expect(ofKind('Secret').flatMap(({ data }) => Object.keys(data ?? {}))).toEqual([])
    const variables = [
      ...ofKind('ConfigMap').flatMap(({ data }) => Object.keys(data ?? {})),
      ...workloads.flatMap(({ containers }) => containers.flatMap(({ env }) => env.map(({ name }) => name))),
    ]
    expect(variables.filter((name) => /PASSWORD|SECRET|TOKEN|COOKIE/.test(name) && !name.endsWith('_FILE'))).toEqual([])
  })
})

describe('the consumers', () => {
  const kinds = ['deployment', 'service', 'networkpolicy', 'poddisruptionbudget', 'serviceaccount']
  const textsOf = ({ name }: { name: string }) =>
    kinds.map((kind) => {
      const dashed = name.replace('_', '-')
      const found = manifestsIn(`${name}/${dashed}-${kind}.yaml`)
      return JSON.stringify(found, null, 1).replaceAll(dashed, 'C').replaceAll(name, 'C')
    })
  const [model = [], ...others] = CONSUMERS.filter(({ tables }) => tables).map(textsOf)

  it('that use MySQL differ only in their names', () => {
    for (const other of others) expect(other).toEqual(model)
  })

  it.each(CONSUMERS.filter(({ tables }) => !tables))(
    '$name differs from the others only in its name and in that it does not use MySQL',
    (consumer) => {
      const mysql = [
        /,\s*\{\s*"name": "MYSQL_USER",\s*"value": "C"\s*\}/,
        /,\s*\{\s*"name": "MYSQL_PASSWORD_FILE",\s*"value": "[^"]*"\s*\}/,
        /,\s*\{\s*"key": "mysql-password",\s*"path": "mysql-password"\s*\}/,
        /,\s*\{\s*"to": \[\s*\{\s*"podSelector": \{\s*"matchLabels": \{\s*"app.kubernetes.io\/name": "mysql"[^\]]*\][^\]]*\]\s*\}/,
      ]
      const without = model.map((text) => mysql.reduce((rest, each) => rest.replace(each, ''), text))
      expect(textsOf(consumer)).toEqual(without)
    },
  )
})

describe('every container', () => {
  it.each(eachContainer)(
    'of %s has an image with a fixed tag, and pulls it only if the node does not have it',
    (_, container) => {
      const { version } = z
        .object({ version: z.string() })
        .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')))
      const [name, tag] = container.image.split(':')
      // No registry has this name, so a node cannot pull an image of another publisher. An overlay or the pipeline sets the real name.
      if (name?.startsWith('registry.invalid/ims/')) expect(tag).toBe(version)
      else expect(tag).toMatch(/^\d+\.\d+/)
      expect(container).toMatchObject({ imagePullPolicy: 'IfNotPresent' })
    },
  )

  it.each(eachContainer)(
    'of %s has a read-only file system, no capability, resource requests and a memory limit',
    (_, container) => {
      expect(container).toMatchObject(RESTRICTIONS)
    },
  )

  it.each(each)('of %s does not run as root; only the Job accounts has a service account token', (_, { name, pod }) => {
    const { runAsUser } = z.object({ runAsUser: z.int().min(1) }).parse(pod.securityContext)
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsGroup: runAsUser,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(pod.automountServiceAccountToken).toBe(name === 'accounts')
    expect(pod).toMatchObject({ enableServiceLinks: false })
  })

  it.each(each.filter(([, workload]) => runsForEver(workload)))(
    'of %s has probes on ports that exist',
    (_, { pod }) => {
      for (const container of pod.containers) {
        const { startupProbe, livenessProbe, readinessProbe } = container
        const probes = [startupProbe, livenessProbe, readinessProbe]
        expect(probes).not.toContain(undefined)
        for (const port of probes.flatMap((probe) => probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? []))
          expect(container.ports.map(({ name }) => name)).toContain(port)
      }
    },
  )

  const shutdownMs = Number(
    ofKind('ConfigMap').find(({ data }) => data?.SHUTDOWN_TIMEOUT_MS)?.data?.SHUTDOWN_TIMEOUT_MS,
  )
  const own = ({ env }: Container) => env.find(({ name }) => name === 'SHUTDOWN_TIMEOUT_MS')?.value
  it.each(each.filter(([, { kind }]) => kind === 'Deployment'))(
    'of %s has a grace period longer than its pre-stop sleep and its shutdown timeout together',
    (_, { pod }) => {
      for (const container of pod.containers) {
        const preStopMs = (container.lifecycle?.preStop.sleep?.seconds ?? 0) * 1_000
        expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(
          preStopMs + Number(own(container) ?? shutdownMs),
        )
      }
    },
  )
})

describe('the references in the manifests', () => {
  const accounts = makeAccounts({})
  const secretKeys = Object.fromEntries(
    Object.entries(accounts).map(([owner, files]) => [`${owner.replaceAll('_', '-')}-account`, Object.keys(files)]),
  )

  it('name only Secrets that the Job accounts fills, and its Role allows exactly these Secrets', () => {
    expect(known('Secret').sort()).toEqual(Object.keys(secretKeys).sort())
    const rules = z.object({ rules: z.array(z.object({ resourceNames: z.array(z.string()) })) })
    expect(
      ofKind('Role')
        .flatMap((role) => rules.parse(role).rules[0]?.resourceNames ?? [])
        .sort(),
    ).toEqual(Object.keys(secretKeys).sort())
  })

  it.each(each)('in %s exist', (_, { containers, pod }) => {
    expect(known('ServiceAccount')).toContain(pod.serviceAccountName)
    // accounts/kustomization.yaml generates the ConfigMap with the program of the Job `accounts`.
    const configMaps = [...known('ConfigMap'), 'accounts-program']
    const volumeNames = pod.volumes.map(({ name }) => name)
    const claims = known('PersistentVolumeClaim')
    for (const { configMap, persistentVolumeClaim, projected } of pod.volumes) {
      if (configMap !== undefined) expect(configMaps).toContain(configMap.name)
      if (persistentVolumeClaim !== undefined) expect(claims).toContain(persistentVolumeClaim.claimName)
      for (const { secret } of projected?.sources ?? [])
        for (const { key } of secret.items) expect(secretKeys[secret.name]).toContain(key)
    }
    for (const { envFrom, volumeMounts } of containers) {
      for (const { configMapRef } of envFrom) expect(configMaps).toContain(configMapRef.name)
      for (const { name } of volumeMounts.filter(({ name }) => name !== 'data')) expect(volumeNames).toContain(name)
    }
  })

  it.each(each.filter(([, workload]) => runsForEver(workload)))(
    'select by label only the pods of %s',
    (_, workload) => {
      expect(workloads.filter((other) => selects(workload.selector ?? {}, other))).toEqual([workload])
    },
  )

  const service = z.object({
    selector: z.record(z.string(), z.string()),
    ports: z.array(z.object({ targetPort: z.string(), port: z.int() })),
  })
  it.each(ofKind('Service').map((each) => [each.metadata.name, each] as const))(
    'of Service %s use ports that its pods have, with the same number',
    (_, { spec }) => {
      const { selector, ports } = service.parse(spec)
      const [pods, ...others] = workloads.filter((workload) => selects(selector, workload))
      expect(others).toEqual([])
      for (const { targetPort, port } of ports)
        expect(pods === undefined ? [] : portsOf(pods)).toContainEqual({ name: targetPort, containerPort: port })
    },
  )

  it('name a Service as the host of RabbitMQ and of MySQL, and the Service has the configured port', () => {
    const configuration = ofKind('ConfigMap').find(({ metadata }) => metadata.name === 'ims-configuration')?.data ?? {}
    for (const name of ['RABBITMQ', 'MYSQL']) {
      const found = ofKind('Service').find(({ metadata }) => metadata.name === configuration[`${name}_HOST`])
      expect(service.parse(found?.spec).ports.map(({ port }) => String(port))).toContain(configuration[`${name}_PORT`])
    }
  })

  it('name existing workloads in disruption budgets and autoscalers', () => {
    const budget = z.object({ selector: z.object({ matchLabels: z.record(z.string(), z.string()) }) })
    for (const { metadata, spec } of ofKind('PodDisruptionBudget')) {
      const found = workloads.filter((workload) => selects(budget.parse(spec).selector.matchLabels, workload))
      expect(found.map(({ name }) => name)).toEqual([metadata.name])
    }
    const scaler = z.object({ scaleTargetRef: z.object({ kind: z.string(), name: z.string() }) })
    for (const { spec } of ofKind('HorizontalPodAutoscaler')) {
      expect(workloads).toContainEqual(expect.objectContaining(scaler.parse(spec).scaleTargetRef))
    }
  })
})

describe('the overlays', () => {
  it('create the directory of each local volume in single, and mount no subPath, which would bypass fsGroup', () => {
    const storage = readFileSync(join(KUBERNETES, 'overlays/single/storage.yaml'), 'utf8')
    expect(storage).not.toMatch(/subPath:/)
    const made = [...storage.matchAll(/hostPath:\n {4}path: (\S+)\n {4}type: DirectoryOrCreate/g)].map(
      ([, path]) => path,
    )
    const used = [...storage.matchAll(/local:\n {4}path: (\S+)/g)].map(([, path]) => path)
    expect(used).toHaveLength(3)
    expect(made.sort()).toEqual(used.sort())
  })

  it('are keda, observability, production and single', () => {
    expect(OVERLAYS).toEqual(['keda', 'observability', 'production', 'single'])
  })

  const without = withoutKubectl()
  const test = without === undefined ? it : it.skip
  const why = without === undefined ? '' : ` (skipped: ${without})`
  for (const name of ['', ...OVERLAYS.map((overlay) => `overlays/${overlay}`)])
    test(`kubernetes/${name} is rendered by kubectl, with Pod Security enforced and a tag on each image${why}`, () => {
      const text = rendered(join(KUBERNETES, name))
      expect(text).toContain('pod-security.kubernetes.io/enforce: restricted')
      expect(text).not.toMatch(/image: \S+:latest|image: [^:\s]+$/m)
    })

  test(`kubernetes/overlays/production requires API keys: its producers wait for the Secret with the keys${why}`, () => {
    const producer = rendered(join(KUBERNETES, 'overlays/production'))
      .split('\n---\n')
      .find((document) => /^kind: Deployment$/m.test(document) && /^ {2}name: producer$/m.test(document))
    expect(producer).toContain('- name: API_KEYS_FILE\n          value: /run/api-keys/api-keys')
    expect(producer).not.toMatch(/name: API_KEYS$/m)
    expect(producer).toMatch(/name: producer-api-keys\s/)
    expect(producer).not.toContain('optional: true')
  })

  describe.each(services.filter(({ name }) => name.startsWith('consumer_')))('scale $name', ({ name, consumes }) => {
    const file = join(KUBERNETES, `overlays/keda/component/${name.replace('_', '-')}-scaledobject.yaml`)
    const { advanced, pollingInterval, triggers } = scaledObject.parse(parse(readFileSync(file, 'utf8'))).spec
    const { formula, target } = advanced.scalingModifiers
    const { prefetch, holdMaxMs } = consumerEnvironment.parse({})
    const takes = (queue: QueueName) => (queues[queue] === 'query' ? Math.min(QUERY_PREFETCH_MAX, prefetch) : prefetch)
    /** The value that KEDA compares with the target for each pod. The formula has the same meaning in JavaScript. */
    const wanted = (waiting: number, consumers: number): unknown =>
      runInNewContext(formula, {
        max: Math.max,
        ...Object.fromEntries(
          consumes.flatMap((queue) => [
            [queue, waiting],
            [`${queue}_consumers`, consumers],
          ]),
        ),
      })

    it('when more messages wait in its queues than its pods prefetch', () => {
      const lengths = triggers.filter(({ type }) => type === 'rabbitmq')
      expect(lengths.map(({ name: queue, metadata: { queueName, value } }) => ({ queue, queueName, value }))).toEqual(
        consumes.map((queue) => ({ queue, queueName: queue, value: String(takes(queue)) })),
      )
      for (const queue of consumes) expect(target).toBe(String(takes(queue)))
      expect(wanted(100_000, 2)).toBe(100_000)
    })

    it('without counting messages in flight, or messages in a queue that has no consumer', () => {
      const lengths = triggers.filter(({ type }) => type === 'rabbitmq')
      expect(lengths.map(({ metadata }) => metadata.excludeUnacknowledged)).toEqual(lengths.map(() => 'true'))
      expect(wanted(100_000, 0)).toBe(0)
      const counts = triggers.filter(({ type }) => type === 'metrics-api')
      expect(
        counts.map(({ name: trigger, metadata: { url, valueLocation } }) => ({ trigger, url, valueLocation })),
      ).toEqual(
        consumes.map((queue) => ({
          trigger: `${queue}_consumers`,
          url: `http://rabbitmq.ims.svc:15672/api/queues/%2F/${queue}`,
          valueLocation: 'consumers',
        })),
      )
      // If messages cannot be applied, the scaler must wait until the consumers have cancelled their subscriptions and KEDA has polled.
      const { stabilizationWindowSeconds } = advanced.horizontalPodAutoscalerConfig.behavior.scaleUp
      expect(stabilizationWindowSeconds).toBeGreaterThan(2 * (holdMaxMs / 1_000 + pollingInterval))
    })
  })

  it('leave the number of replicas to the autoscalers: unset for the producer, removed in keda', () => {
    const deployment = z.object({ spec: z.looseObject({ replicas: z.int().optional() }) })
    const [producer] = manifestsIn('producer/producer-deployment.yaml')
    expect(deployment.parse(producer).spec.replicas).toBeUndefined()
    const component = z.object({ patches: z.array(z.object({ patch: z.string() })) })
    const keda = readFileSync(join(KUBERNETES, 'overlays/keda/component/kustomization.yaml'), 'utf8')
    expect(component.parse(parse(keda)).patches.map(({ patch }) => patch)).toContainEqual(
      '- op: remove\n  path: /spec/replicas',
    )
  })
})
