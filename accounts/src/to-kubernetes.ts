// `node to-kubernetes.ts`, run as a Job: completes the Secrets of its namespace, one for each owner, through the API server.
import { readFileSync } from 'node:fs'
import { type Accounts, makeAccounts, owners } from './make-accounts.ts'

/** Where Kubernetes puts a pod's credentials. NODE_EXTRA_CA_CERTS names the certificate authority of the API server. */
const CREDENTIALS = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Their Secrets are written last, so that every password in them already exists in the Secret of its owner. */
const SERVERS: readonly string[] = ['rabbitmq', 'mysql']
/** Maximum attempts when another client writes to a Secret at the same time. */
const ATTEMPTS_MAX = 10
/** Network policies can take effect slightly after the pod starts, so the first attempts may fail. */
const REACHED_WITHIN_MS = 30_000

/** The API server, with the namespace and the token of the pod. `url` has no trailing slash. */
export interface Api {
  readonly url: string
  readonly namespace: string
  readonly token: string
  readonly retryMs: number
}

interface Secret {
  readonly name: string
  /** Changes with each write. The API server rejects a write that names an older version. */
  readonly version: string
  readonly files: Readonly<Record<string, string>>
}

class WriteConflict extends Error {
  override readonly name = 'WriteConflict'
}

/** Kubernetes names cannot contain an underscore. */
export const secretOf = (owner: string): string => `${owner.replaceAll('_', '-')}-account`

/**
 * Adds missing keys to the Secrets and keeps existing passwords, so it is safe to run at every deployment, even twice at the
 * same time. Resolves with the keys it wrote, as `<Secret>/<key>`.
 * @throws Error that names the Secret that could not be read or written, and the reason
 */
export async function completeSecrets(api: Api): Promise<{ made: string[] }> {
  const made: string[] = []
  for (let attempt = 1; ; attempt += 1) {
    try {
      await completeFrom(await readSecrets(api), api, made)
      return { made }
    } catch (error) {
      if (!(error instanceof WriteConflict) || attempt === ATTEMPTS_MAX) throw error
    }
  }
}

async function completeFrom(secrets: ReadonlyMap<string, Secret>, api: Api, made: string[]): Promise<void> {
  const existing: Accounts = Object.fromEntries([...secrets].map(([owner, { files }]) => [owner, files]))
  const accounts = makeAccounts(existing)
  for (const owner of [...owners.filter((each) => !SERVERS.includes(each)), ...SERVERS]) {
    const secret = secrets.get(owner)
    if (secret === undefined) continue
    const missing = Object.entries(accounts[owner] ?? {}).filter(([key, content]) => secret.files[key] !== content)
    if (missing.length === 0) continue
    await writeSecret(api, secret, missing)
    made.push(...missing.map(([key]) => `${secret.name}/${key}`))
  }
}

async function readSecrets(api: Api): Promise<ReadonlyMap<string, Secret>> {
  const secrets = new Map<string, Secret>()
  for (const owner of owners) secrets.set(owner, await readSecret(api, secretOf(owner)))
  return secrets
}

async function readSecret(api: Api, name: string): Promise<Secret> {
  const response = await call(api, name, { method: 'GET' })
  if (response.status === 404) {
    throw new Error(
      `there is no Secret ${name} in namespace ${api.namespace}: apply kubernetes/manifest/accounts first`,
    )
  }
  if (response.status !== 200) throw new Error(`cannot read the Secret ${name}: ${await reasonOf(response)}`)
  return parsed(name, await response.json())
}

async function writeSecret(api: Api, { name, version }: Secret, entries: [string, string][]): Promise<void> {
  const data = Object.fromEntries(entries.map(([key, content]) => [key, Buffer.from(content).toString('base64')]))
  const response = await call(api, name, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify({ metadata: { resourceVersion: version }, data }),
  })
  if (response.status === 409) throw new WriteConflict(`another client is writing the Secret ${name}`)
  if (response.status !== 200) throw new Error(`cannot write the Secret ${name}: ${await reasonOf(response)}`)
  await response.body?.cancel()
}

/** Sends one request. Retries for up to 30 s when the API server is unreachable, responds with 429, or fails (5xx). */
async function call({ url, namespace, token, retryMs }: Api, name: string, init: RequestInit): Promise<Response> {
  const until = performance.now() + REACHED_WITHIN_MS
  for (;;) {
    const response = await fetch(`${url}/api/v1/namespaces/${namespace}/secrets/${name}`, {
      ...init,
      headers: { ...init.headers, accept: 'application/json', authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(REACHED_WITHIN_MS),
    }).catch((error: unknown) => new Error(`no response from ${url}: ${causeOf(error)}`, { cause: error }))
    const isFinal = response instanceof Response && response.status !== 429 && response.status < 500
    if (isFinal) return response
    if (performance.now() > until) {
      if (response instanceof Response) return response
      throw response
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs))
  }
}

function parsed(name: string, body: unknown): Secret {
  const { metadata, data = {} } = record(body)
  const { resourceVersion } = record(metadata)
  if (typeof resourceVersion !== 'string') throw new Error(`the Secret ${name} has no metadata.resourceVersion`)
  const files = Object.entries(record(data)).map(([key, value]) => {
    if (typeof value !== 'string') throw new Error(`data.${key} of the Secret ${name} is not a string`)
    return [key, Buffer.from(value, 'base64').toString()]
  })
  return { name, version: resourceVersion, files: Object.fromEntries(files) }
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {}

/** The `message` in the API server's Status object. */
async function reasonOf(response: Response): Promise<string> {
  const text = await response.text()
  try {
    return String(record(JSON.parse(text)).message ?? `status ${response.status}`)
  } catch {
    return `status ${response.status}`
  }
}

const causeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message || error.message : error.message
}

/** Reads the address of the API server from the environment, and the pod's credentials. */
function apiOfThisPod(): Api {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = process.env
  const mounted = (file: string) => readFileSync(`${CREDENTIALS}/${file}`, 'utf8').trim()
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  return { url, namespace: mounted('namespace'), token: mounted('token'), retryMs: 1_000 }
}

if (import.meta.main) {
  try {
    const { made } = await completeSecrets(apiOfThisPod())
    process.stdout.write(made.length === 0 ? 'accounts: nothing to create\n' : `accounts: created ${made.join(', ')}\n`)
  } catch (error) {
    process.stderr.write(`accounts: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
