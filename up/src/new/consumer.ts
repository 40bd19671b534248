// The changes that add a message type with its own consumer: all texts in the repository that name a service or a queue.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { queues, services } from '@ims/accounts/suite'
import { z } from 'zod'
import { type CopiedService, copiedLines, inLists, namesOf, renamed } from './copied-lines.ts'
import { type FileChange, NotPossible } from './file-change.ts'
import { contractText, handlerText, type Names, namesFor, testText } from './texts.ts'

/** The consumer that is copied. It has no MySQL account. */
const MODEL = { service: 'consumer_one', queue: 'healthcheck', handler: 'logHealthchecks', adminPort: 9091 }

const QUEUE = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/
/** One word, because Prometheus on Kubernetes converts consumer-five to consumer_five at the only hyphen. */
const CONSUMER = /^consumer_[a-z0-9]+$/
/** MySQL allows 32 characters for a user name. */
const NAME_MAX = 32

/** Words that cannot be the name of a constant in a module. Biome accepts some of them without an error. */
const RESERVED = new Set(
  `arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally
  for function if implements import in instanceof interface let new null package private protected public return static super
  switch this throw true try typeof undefined var void while with yield`.split(/\s+/),
)

const MANIFESTS = 'kubernetes/manifest'
const SCALING = 'kubernetes/overlays/keda/component'
const CONTRACTS = 'messaging/src/contracts.ts'
const SUITE = 'accounts/src/suite.ts'

/** Files with lines or paragraphs for each service. */
const BY_LINE = [
  'dockercompose/docker-compose.yml',
  'dockercompose/observability/prometheus/alerts.yml',
  'kubernetes/overlays/observability/component/services-prometheusrule.yaml',
  `${MANIFESTS}/kustomization.yaml`,
  `${MANIFESTS}/accounts/accounts-secrets.yaml`,
  `${SCALING}/kustomization.yaml`,
  'README.md',
]
/** Files with the services in a list on one line. */
const BY_LIST = ['dockercompose/observability/prometheus/prometheus.yml']
/** Files with a pattern that matches all queues: their names, joined by `|`. */
const BY_PATTERN = [
  'dockercompose/observability/prometheus/alerts.yml',
  'kubernetes/overlays/observability/component/services-prometheusrule.yaml',
]

/** All changes for the command `queue` and its consumer. Throws NotPossible for a name that is taken or invalid. */
export function newConsumer(root: string, queue: string, consumer: string): FileChange[] {
  refuseBadNames(root, queue, consumer)
  const read = (file: string) => readFileSync(join(root, file), 'utf8')
  const names = namesFor(queue, consumer)
  const adminPort = Math.max(...services.map((each) => each.adminPort)) + 1
  const last = services.findLast(({ consumes }) => consumes.length > 0)?.name ?? MODEL.service
  const model: CopiedService = {
    of: MODEL.service,
    after: last,
    rename: (text) =>
      renamed(text, MODEL.service, consumer)
        .replaceAll(MODEL.queue, queue)
        .replaceAll(String(MODEL.adminPort), String(adminPort)),
  }
  const [, dashed] = namesOf(consumer)
  const copied = (file: string) => ({ file: model.rename(file), to: model.rename(read(file)) })
  return [
    ...suiteChanges(read(SUITE), names, adminPort),
    ...contractChanges(read(CONTRACTS), names),
    copied(`${MODEL.service}/package.json`),
    dockerfileChange(copied(`${MODEL.service}/Dockerfile`), read),
    { file: `${consumer}/src/main.ts`, to: mainText(read(`${MODEL.service}/src/main.ts`), names, adminPort) },
    { file: `${consumer}/src/${names.file}`, to: handlerText(names) },
    { file: `${consumer}/test/${names.file.replace('.ts', '.unit.test.ts')}`, to: testText(names) },
    lockfileChange(read('package-lock.json'), consumer),
    ...readdirSync(join(root, MANIFESTS, MODEL.service)).map((file) => copied(join(MANIFESTS, MODEL.service, file))),
    {
      ...copied(`${SCALING}/${namesOf(MODEL.service)[1]}-scaledobject.yaml`),
      file: `${SCALING}/${dashed}-scaledobject.yaml`,
    },
    ...BY_LINE.flatMap((file) => copiedLines(file, read(file), model)),
    ...BY_LIST.flatMap((file) => inLists(file, read(file), last, consumer)),
    ...BY_PATTERN.map((file) => patternChange(file, queue)),
  ]
}

function refuseBadNames(root: string, queue: string, consumer: string): void {
  if (!QUEUE.test(queue) || queue.length > NAME_MAX)
    throw new NotPossible(`"${queue}" is no name for a queue: lower-case words joined by _, such as adjust_quantity`)
  if (!CONSUMER.test(consumer) || consumer.length > NAME_MAX)
    throw new NotPossible(
      `"${consumer}" is no name for a consumer: consumer_ and one lower-case word, such as consumer_five`,
    )
  if (queue in queues) throw new NotPossible(`the queue ${queue} exists already`)
  if (services.some(({ name }) => name === consumer)) throw new NotPossible(`the service ${consumer} exists already`)
  const { contract } = namesFor(queue, consumer)
  if (RESERVED.has(contract))
    throw new NotPossible(`"${queue}" is no name for a queue: ${contract} is a word of TypeScript`)
  const unlike = namesFor('any_other_queue', consumer)
  if (new RegExp(`\\b${contract}\\b`).test(testText(unlike) + handlerText(unlike)))
    throw new NotPossible(
      `the contract would be called ${contract}, a word that the new handler or its test uses already`,
    )
  for (const file of [CONTRACTS, 'messaging/src/index.ts', `${MODEL.service}/src/main.ts`])
    if (new RegExp(`\\b${contract}\\b`).test(readFileSync(join(root, file), 'utf8')))
      throw new NotPossible(`the contract would be called ${contract}, a word that ${file} uses already`)
}

/** Pads the Dockerfile until no other one has the same size. Its second line explains why the sizes must differ. */
function dockerfileChange({ file, to }: FileChange, read: (file: string) => string): FileChange {
  const sizes = [...services.map(({ name }) => name), 'accounts'].map((name) => read(`${name}/Dockerfile`).length)
  let text = to
  while (sizes.includes(text.length)) text = text.replace(/: #+$/m, '$&#')
  return { file, to: text }
}

function suiteChanges(text: string, { queue, consumer }: Names, adminPort: number): FileChange[] {
  const lastQueue = Object.entries(queues).at(-1)
  const line = `  ${lastQueue?.[0]}: '${lastQueue?.[1]}',\n`
  const producer = /^ {2}\{ name: 'producer'.*\n/m.exec(text)?.[0] ?? "  { name: 'producer'"
  return [
    { file: SUITE, from: line, to: `${line}  ${queue}: 'command',\n` },
    {
      file: SUITE,
      from: producer,
      to: `  { name: '${consumer}', adminPort: ${adminPort}, consumes: ['${queue}'] },\n${producer}`,
    },
  ]
}

function contractChanges(text: string, names: Names): FileChange[] {
  const comment = '/** The queues of the Python suite.'
  const list = /^export const contracts = \[.*?(?=\] as const)/ms.exec(text)?.[0] ?? 'export const contracts = ['
  return [
    { file: CONTRACTS, from: comment, to: `${contractText(names)}\n${comment}` },
    { file: CONTRACTS, from: list, to: `${list.trimEnd().replace(/,$/, '')}, ${names.contract}` },
  ]
}

function mainText(model: string, { queue, consumer, contract, handler, file }: Names, adminPort: number): string {
  return renamed(model, MODEL.service, consumer)
    .replace(`consumes ${MODEL.queue} messages`, `consumes ${queue} messages`)
    .replace(`./${MODEL.queue}.ts`, `./${file}`)
    .replaceAll(MODEL.handler, handler)
    .replaceAll(MODEL.queue, contract)
    .replaceAll(String(MODEL.adminPort), String(adminPort))
}

const members = z.record(z.string(), z.unknown())

/** Adds the workspace to the lockfile, as npm would write it. */
function lockfileChange(text: string, consumer: string): FileChange {
  const lockfile = members.parse(JSON.parse(text))
  const before = members.parse(lockfile.packages)
  const packages = {
    ...before,
    [consumer]: before[MODEL.service],
    [`node_modules/${consumer}`]: { resolved: consumer, link: true },
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en'))
  const to = `${JSON.stringify({ ...lockfile, packages: Object.fromEntries(sorted) }, null, 2)}\n`
  return { file: 'package-lock.json', from: text, to }
}

function patternChange(file: string, queue: string): FileChange {
  const all = Object.keys(queues).join('|')
  return { file, from: all, to: `${all}|${queue}` }
}
