// The Kubernetes Job completes Secrets through the API server and keeps their content, even if another client writes at the same time.
import { createServer, type Server } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { owners } from '../src/make-accounts.ts'
import { type Api, completeSecrets, secretOf } from '../src/to-kubernetes.ts'

const patch = z.strictObject({
  metadata: z.strictObject({ resourceVersion: z.string() }),
  data: z.record(z.string(), z.base64()),
})

interface Stored {
  version: number
  data: Record<string, string>
}

/** A fake API server. It can read and merge-patch Secrets, which is all that the Job needs. */
class FakeApi {
  readonly secrets = new Map<string, Stored>()
  readonly writes: string[] = []
  /** Called before each write, to simulate another client. */
  meanwhile: (name: string) => void = () => {}
  /** Statuses of the next error responses, by method and name of the Secret. */
  readonly statusesInstead = new Map<string, number[]>()
  readonly #server: Server

  constructor() {
    for (const owner of owners) this.secrets.set(secretOf(owner), { version: 1, data: {} })
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(Buffer.from(chunk))
      const { status, body } = this.#respond(
        `${request.method}`,
        `${request.url}`,
        { authorization: request.headers.authorization, contentType: request.headers['content-type'] },
        Buffer.concat(chunks).toString(),
      )
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }

  async start(): Promise<Api> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const { port } = z.object({ port: z.number() }).parse(this.#server.address())
    return { url: `http://127.0.0.1:${port}`, namespace: 'ims', token: 'the-token', retryMs: 10 }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** The stored content, decoded. */
  get files(): Record<string, Record<string, string>> {
    return Object.fromEntries(
      [...this.secrets].map(([name, { data }]) => [
        name,
        Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()])),
      ]),
    )
  }

  set(name: string, key: string, content: string): void {
    const secret = this.secrets.get(name)
    if (secret === undefined) throw new Error(`no Secret ${name}`)
    secret.data[key] = Buffer.from(content).toString('base64')
    secret.version += 1
  }

  #respond(
    method: string,
    url: string,
    headers: { authorization: string | undefined; contentType: string | undefined },
    text: string,
  ) {
    const refused = (status: number, message: string) => ({ status, body: { kind: 'Status', message } })
    if (headers.authorization !== 'Bearer the-token') return refused(401, 'Unauthorized')
    const name = /^\/api\/v1\/namespaces\/ims\/secrets\/([a-z-]+)$/.exec(url)?.[1] ?? ''
    const instead = this.statusesInstead.get(`${method} ${name}`)?.shift()
    if (instead !== undefined) return refused(instead, `secrets "${name}" is forbidden`)
    const secret = this.secrets.get(name)
    if (secret === undefined) return refused(404, `secrets "${name}" not found`)
    if (method === 'PATCH') {
      this.meanwhile(name)
      if (headers.contentType !== 'application/merge-patch+json') return refused(415, 'unsupported media type')
      const { metadata, data } = patch.parse(JSON.parse(text))
      if (metadata.resourceVersion !== String(secret.version)) return refused(409, 'the object has been modified')
      Object.assign(secret.data, data)
      secret.version += 1
      this.writes.push(name)
    } else if (method !== 'GET') return refused(405, 'method not allowed')
    // A Secret without data has no member `data`.
    const data = Object.keys(secret.data).length === 0 ? {} : { data: secret.data }
    return {
      status: 200,
      body: { kind: 'Secret', metadata: { name, resourceVersion: String(secret.version) }, ...data },
    }
  }
}

describe('completing the Secrets of a cluster', () => {
  let fake: FakeApi
  let api: Api
  beforeEach(async () => {
    fake = new FakeApi()
    api = await fake.start()
  })
  afterEach(async () => await fake.stop())

  it('fills empty Secrets, and reports the keys it wrote but not their values', async () => {
    const { made } = await completeSecrets(api)
    expect(Object.keys(fake.files['consumer-two-account'] ?? {}).sort()).toEqual([
      'mysql-password',
      'rabbitmq-password',
    ])
    expect(Object.keys(fake.files['mysql-account'] ?? {}).sort()).toEqual([
      'accounts.sql',
      'backup-password',
      'root-password',
    ])
    expect(made).toContain('rabbitmq-account/definitions.json')
    const secrets = Object.values(fake.files).flatMap((files) => Object.values(files))
    for (const secret of secrets) expect(made.join(' ')).not.toContain(secret)
  })

  it('writes the servers’ files last, so that every password in them already exists', async () => {
    await completeSecrets(api)
    expect(fake.writes).toHaveLength(owners.length)
    expect(fake.writes.slice(-2)).toEqual(['rabbitmq-account', 'mysql-account'])
  })

  it('changes nothing when it runs again', async () => {
    await completeSecrets(api)
    const before = fake.files
    expect(await completeSecrets(api)).toEqual({ made: [] })
    expect(fake.files).toEqual(before)
    expect(fake.writes).toHaveLength(owners.length)
  })

  it('keeps existing passwords and generates the other files from them', async () => {
    fake.set('migrate-account', 'mysql-password', 'kept-as-it-was')
    await completeSecrets(api)
    expect(fake.files['migrate-account']).toEqual({ 'mysql-password': 'kept-as-it-was' })
    expect(fake.files['mysql-account']?.['accounts.sql']).toContain("'kept-as-it-was'")
  })

  it('starts over when another client writes at the same time, and keeps the values of that client', async () => {
    fake.meanwhile = (name) => {
      fake.meanwhile = () => {}
      fake.set(name, 'mysql-password', 'from-somebody-else')
    }
    await completeSecrets(api)
    expect(fake.files['migrate-account']).toEqual({ 'mysql-password': 'from-somebody-else' })
    expect(fake.files['mysql-account']?.['accounts.sql']).toContain("'from-somebody-else'")
  })

  it('leaves nothing to do after two runs at the same time', async () => {
    await Promise.all([completeSecrets(api), completeSecrets(api)])
    expect(await completeSecrets(api)).toEqual({ made: [] })
  })

  it('retries when the API server responds with 503 or 429', async () => {
    fake.statusesInstead.set('GET producer-account', [503, 429])
    await expect(completeSecrets(api)).resolves.toMatchObject({
      made: expect.arrayContaining(['producer-account/rabbitmq-password']),
    })
  })

  it('reports which Secret is missing, and what to apply', async () => {
    fake.secrets.delete('producer-account')
    await expect(completeSecrets(api)).rejects.toThrow(
      'there is no Secret producer-account in namespace ims: apply kubernetes/manifest/accounts first',
    )
  })

  it('reports a denied request with the API server’s message', async () => {
    fake.statusesInstead.set('PATCH producer-account', [403])
    await expect(completeSecrets(api)).rejects.toThrow(
      'cannot write the Secret producer-account: secrets "producer-account" is forbidden',
    )
  })
})
