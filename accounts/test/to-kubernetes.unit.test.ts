// The Job of Kubernetes: Secrets are completed through the API server and what they hold is kept, whoever else writes meanwhile.
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

/** An API server that knows Secrets, to be read and merge-patched: as much of the real one as the Job uses. */
class FakeApi {
  readonly secrets = new Map<string, Stored>()
  readonly writes: string[] = []
  /** Called before each write: what somebody else does meanwhile. */
  meanwhile: (name: string) => void = () => {}
  /** A status that is answered instead, by method and name. */
  readonly answersInstead = new Map<string, number[]>()
  readonly #server: Server

  constructor() {
    for (const owner of owners) this.secrets.set(secretOf(owner), { version: 1, data: {} })
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(Buffer.from(chunk))
      const { status, body } = this.#answer(
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

  /** What is stored, decoded. */
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

  #answer(
    method: string,
    url: string,
    headers: { authorization: string | undefined; contentType: string | undefined },
    text: string,
  ) {
    const refused = (status: number, message: string) => ({ status, body: { kind: 'Status', message } })
    if (headers.authorization !== 'Bearer the-token') return refused(401, 'Unauthorized')
    const name = /^\/api\/v1\/namespaces\/ims\/secrets\/([a-z-]+)$/.exec(url)?.[1] ?? ''
    const instead = this.answersInstead.get(`${method} ${name}`)?.shift()
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

  it('fills empty Secrets, and names what it made without telling it', async () => {
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

  it('writes the servers’ files last: whoever reads them finds every password that they name', async () => {
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

  it('keeps the passwords that are there, and makes the rest to fit', async () => {
    fake.set('migrate-account', 'mysql-password', 'kept-as-it-was')
    await completeSecrets(api)
    expect(fake.files['migrate-account']).toEqual({ 'mysql-password': 'kept-as-it-was' })
    expect(fake.files['mysql-account']?.['accounts.sql']).toContain("'kept-as-it-was'")
  })

  it('begins again when somebody else writes meanwhile, and takes over what they wrote', async () => {
    fake.meanwhile = (name) => {
      fake.meanwhile = () => {}
      fake.set(name, 'mysql-password', 'from-somebody-else')
    }
    await completeSecrets(api)
    expect(fake.files['migrate-account']).toEqual({ 'mysql-password': 'from-somebody-else' })
    expect(fake.files['mysql-account']?.['accounts.sql']).toContain("'from-somebody-else'")
  })

  it('agrees with another one that runs at the same time', async () => {
    await Promise.all([completeSecrets(api), completeSecrets(api)])
    expect(await completeSecrets(api)).toEqual({ made: [] })
  })

  it('tries again when the API server is not there yet or has too much to do', async () => {
    fake.answersInstead.set('GET producer-account', [503, 429])
    await expect(completeSecrets(api)).resolves.toMatchObject({
      made: expect.arrayContaining(['producer-account/rabbitmq-password']),
    })
  })

  it('says which Secret is missing, and what to apply', async () => {
    fake.secrets.delete('producer-account')
    await expect(completeSecrets(api)).rejects.toThrow(
      'there is no Secret producer-account in namespace ims: apply kubernetes/manifest/accounts first',
    )
  })

  it('says what it may not do, in the words of the API server', async () => {
    fake.answersInstead.set('PATCH producer-account', [403])
    await expect(completeSecrets(api)).rejects.toThrow(
      'cannot write the Secret producer-account: secrets "producer-account" is forbidden',
    )
  })
})
