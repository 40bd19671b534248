// Files that repeat the list of services (accounts/src/suite.ts) because they cannot import it, and the lines that each needs.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Service } from '@ims/accounts/suite'

const ROOT = join(import.meta.dirname, '../../..')

/** At least one line of `file` must contain both `on` and `has`. */
interface Mirror {
  readonly file: string
  readonly on: string
  readonly has: string
}

/** A service in the list. It may exist only in a copy of the repository. */
type Listed = Omit<Service, 'consumes'> & { readonly consumes: readonly string[] }

const COMPOSE = 'dockercompose/docker-compose.yml'
const RULES = 'dockercompose/observability/prometheus/alerts.yml'
const KUBERNETES_RULES = 'kubernetes/overlays/observability/component/services-prometheusrule.yaml'
const MANIFEST = 'kubernetes/manifest'
const KINDS = ['serviceaccount', 'networkpolicy', 'poddisruptionbudget', 'service', 'deployment']

/** One sentence for each line or file that is missing for `service`, and one if the service has no unit test. */
export function missingFor(service: Listed, root = ROOT): string[] {
  const lines = mirrorsOf(service).flatMap(({ file, on, has }) => {
    const path = join(root, file)
    if (!existsSync(path)) return [`${file} does not exist`]
    const isThere = readFileSync(path, 'utf8')
      .split('\n')
      .some((line) => line.includes(on) && hasWord(line, has))
    return isThere ? [] : [`${file} has no line with "${on === has ? has : `${on} … ${has}`}"`]
  })
  return [...lines, ...(hasUnitTest(join(root, service.name, 'test')) ? [] : [`${service.name}/test has no unit test`])]
}

const hasUnitTest = (folder: string): boolean =>
  existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.unit.test.ts'))

/** Folders of consumers, and folders with their manifests, whose service is not in the list. */
export function unlisted(names: readonly string[], root = ROOT): string[] {
  return ['.', MANIFEST]
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(folder, name)))
    .filter((path) => basename(path).startsWith('consumer_') && !names.includes(basename(path)))
}

/** Finds whole words only: consumer-four-account does not contain consumer-four. */
function hasWord(line: string, word: string): boolean {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`).test(line)
}

/** All lines that a service needs in these files. */
export function mirrorsOf({ name, adminPort, consumes, tables }: Listed): Mirror[] {
  // Kubernetes allows no underscore in names.
  const dashed = name.replaceAll('_', '-')
  const line = (file: string, has: string): Mirror => ({ file, on: has, has })
  const item = (file: string, on: string, has: string): Mirror => ({ file, on, has })
  return [
    line(`${name}/package.json`, `"name": "${name}"`),
    line(`${name}/src/main.ts`, `runService({ name: '${name}', adminPort: ${adminPort}`),
    line(`${name}/Dockerfile`, `ARG SERVICE=${name}`),
    line('package-lock.json', `"${name}": {`),
    line('package-lock.json', `"node_modules/${name}": {`),
    item('README.md', '| ', `\`${name}\``),
    item('dockercompose/observability/prometheus/prometheus.yml', 'names: ', name),
    line(RULES, `absent(up{service="${name}"})`),
    line(KUBERNETES_RULES, `absent(up{service="${name}"})`),
    line(COMPOSE, `${name}:`),
    line(COMPOSE, `registry.invalid/ims/${name}`),
    line(COMPOSE, `RABBITMQ_USERNAME: ${name}`),
    line(COMPOSE, `accounts-${dashed}:/run/accounts/${name}:rw`),
    line(COMPOSE, `accounts-${dashed}:/run/accounts/${name}:ro,nocopy`),
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
    line(`${MANIFEST}/accounts/accounts-secrets.yaml`, `- ${dashed}-account`),
    ...(tables ? [item(`${MANIFEST}/mysql/mysql-networkpolicy.yaml`, 'values: ', dashed)] : []),
    ...(consumes.length === 0 ? [] : ofConsumer(name, dashed, consumes)),
  ]
}

/** The lines that a consumer needs: the producer waits for it, KEDA scales it by its queues, and alerts monitor these. */
const ofConsumer = (name: string, dashed: string, queues: readonly string[]): Mirror[] =>
  [
    [COMPOSE, `${name}: { condition: service_healthy }`],
    ['kubernetes/overlays/keda/component/kustomization.yaml', `- ${dashed}-scaledobject.yaml`],
    ...queues.flatMap((queue) => [
      [`kubernetes/overlays/keda/component/${dashed}-scaledobject.yaml`, `queueName: ${queue}`],
      ['messaging/src/contracts.ts', `'${queue}'`],
    ]),
  ]
    .map(([file = '', has = '']) => ({ file, on: has, has }))
    .concat(
      queues.flatMap((queue) => [RULES, KUBERNETES_RULES].map((file) => ({ file, on: 'queue_messages', has: queue }))),
    )
