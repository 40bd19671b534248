// Files that repeat the list of the suite (accounts/src/suite.ts) because they cannot import it, and what each needs for a service.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Service } from '@ims/accounts/suite'
import { contracts } from '@ims/messaging'
import { ROOT } from './stack.ts'

/** A line of `file` that contains `on` must also contain `has`. */
interface Mirror {
  readonly file: string
  readonly on: string
  readonly has: string
}

const COMPOSE = 'dockercompose/docker-compose.yml'
const MANIFEST = 'kubernetes/manifest'
const KINDS = ['serviceaccount', 'networkpolicy', 'poddisruptionbudget', 'service', 'deployment']

/** What is missing for `service`, one sentence each: the file, and what to add to it. */
export function missingFor(service: Service & { readonly name: string }): string[] {
  const lines = mirrorsOf(service).flatMap(({ file, on, has }) => {
    const path = join(ROOT, file)
    if (!existsSync(path)) return [`${file} does not exist`]
    const isThere = readFileSync(path, 'utf8')
      .split('\n')
      .some((line) => line.includes(on) && hasWord(line, has))
    return isThere ? [] : [`${file} has no line with "${on === has ? has : `${on} … ${has}`}"`]
  })
  const unknown = service.consumes.filter((name) => !contracts.some(({ queue }) => queue === name))
  return [
    ...lines,
    ...unknown.map((queue) => `messaging/src/contracts.ts has no contract of the queue ${queue} in contracts`),
  ]
}

/** consumer-four-account does not count as consumer-four. */
function hasWord(line: string, word: string): boolean {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`).test(line)
}

/** Everything that `service` needs, except the contract. */
export function mirrorsOf({ name, adminPort, consumes, tables }: Service & { readonly name: string }): Mirror[] {
  // Kubernetes allows no underscore in names.
  const dashed = name.replaceAll('_', '-')
  const line = (file: string, has: string): Mirror => ({ file, on: has, has })
  const item = (file: string, on: string, has: string): Mirror => ({ file, on, has })
  return [
    line(`${name}/package.json`, `"name": "${name}"`),
    line(`${name}/src/main.ts`, `runService({ name: '${name}'`),
    line(`${name}/Dockerfile`, `ARG SERVICE=${name}`),
    line('runtime/src/run-service.ts', `${name}: ${adminPort}`),
    line('README.md', `\`${name}\``),
    line('docker-bake.hcl', `"${name}"`),
    item('pipeline_files/shared_library/src/ims/Images.groovy', 'SERVICES = ', `'${name}'`),
    item('dockercompose/observability/prometheus/prometheus.yml', 'names: ', name),
    line(COMPOSE, `${name}:`),
    line(COMPOSE, `registry.invalid/ims/${name}`),
    line(COMPOSE, `RABBITMQ_USERNAME: ${name}`),
    line(COMPOSE, `accounts-${dashed}:/run/accounts/${name}`),
    line(COMPOSE, `accounts-${dashed}:/run/accounts:ro,nocopy`),
    item(COMPOSE, '  accounts-', `accounts-${dashed}:`),
    ...(tables ? [line(COMPOSE, `MYSQL_USER: ${name}`)] : []),
    ...KINDS.flatMap((kind) => [
      line(`${MANIFEST}/${name}/${dashed}-${kind}.yaml`, `name: ${dashed}`),
      line(`${MANIFEST}/kustomization.yaml`, `${name}/${dashed}-${kind}.yaml`),
    ]),
    line(`${MANIFEST}/${name}/${dashed}-deployment.yaml`, `image: registry.invalid/ims/${name}`),
    line(`${MANIFEST}/${name}/${dashed}-deployment.yaml`, `value: ${name}`),
    line(`${MANIFEST}/${name}/${dashed}-deployment.yaml`, `name: ${dashed}-account`),
    line(`${MANIFEST}/accounts/accounts-secrets.yaml`, `name: ${dashed}-account`),
    line(`${MANIFEST}/accounts/accounts-role.yaml`, `- ${dashed}-account`),
    item(`${MANIFEST}/rabbitmq/rabbitmq-networkpolicy.yaml`, 'values: ', dashed),
    ...(tables ? [item(`${MANIFEST}/mysql/mysql-networkpolicy.yaml`, 'values: ', dashed)] : []),
    line('kubernetes/overlays/single/kustomization.yaml', `- name: ${dashed}`),
    ...(consumes.length === 0 ? [] : ofConsumer(name, dashed, consumes)),
  ]
}

/** The producer waits for every consumer, and each is scaled by the length of its queue. */
const ofConsumer = (name: string, dashed: string, queues: readonly string[]): Mirror[] =>
  [
    [COMPOSE, `${name}: { condition: service_healthy }`],
    ['kubernetes/overlays/production/kustomization.yaml', `- name: ${dashed}`],
    ['kubernetes/overlays/keda/component/kustomization.yaml', `- ${dashed}-scaledobject.yaml`],
    ...queues.map((queue) => [`kubernetes/overlays/keda/component/${dashed}-scaledobject.yaml`, `queueName: ${queue}`]),
  ].map(([file = '', has = '']) => ({ file, on: has, has }))
