// No failure reveals a secret. Real services get recognisable secrets and various faults, and the test searches all their output.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { serversEnvironment, serversUnderTest, type TestSpace } from 'testkit'
import { adminPages, killAll, logged, startWith } from '../alerts/service-in-trouble.ts'
import { SEED_ITEM } from '../http.ts'
import { migrate, type ServiceName } from '../stack.ts'

const KEY = 'ims_KEYKEYKEY-recognisable-1'
const WRONG = 'WRONGWRONG-recognisable-2'
const IN_URL = 'URLURLURL-recognisable-3'
const API_KEYS = `shop read,write ${createHash('sha256').update(KEY).digest('hex')}`
const CONFIGURATION = 78

let space: TestSpace
let environment: Record<string, string>
let secrets: string[]

beforeAll(async () => {
  ;({ space } = await serversUnderTest('secrets'))
  environment = { ...serversEnvironment(space), PORT: '0', ADMIN_PORT: '0', LOG_LEVEL: 'debug', LOG_FORMAT: 'json' }
  secrets = [space.rabbitmq.password, space.mysql.password, KEY, WRONG, IN_URL]
  await migrate(environment)
})
afterEach(killAll)
afterAll(async () => await space.drop())

/** The command lines of all processes on this machine, which every user can read. */
function argumentsOfAll(): string {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const cmdline = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    } catch {
      // The process has ended.
      return ''
    }
  }
  return pids.map(cmdline).join('\n')
}

function noSecretIn(shown: Record<string, string>): void {
  for (const [where, text] of Object.entries(shown))
    for (const secret of secrets) {
      const forms = [secret, Buffer.from(secret).toString('base64'), encodeURIComponent(secret)]
      expect({ where, shows: forms.filter((form) => text.includes(form)) }).toEqual({ where, shows: [] })
    }
}

const start = (name: ServiceName, env: Record<string, string>) => startWith(name, { ...environment, ...env })

describe('no secret is shown', () => {
  it('by a producer that is called with its key, and with a wrong one', async () => {
    const producer = start('producer', { API_KEYS, WAIT_FOR_CONSUMERS: 'false', RPC_TIMEOUT_MS: '500' })
    const port = await logged(producer, /listening on http:\/\/127\.0\.0\.1:(\d+)/)
    const call = async (path: string, key: string, init: RequestInit = {}) => {
      const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${key}`, 'X-API-Key': key }
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers })
      const text = await response.text()
      return { status: response.status, all: `${JSON.stringify([...response.headers])}${text}` }
    }
    const post = { method: 'POST', body: JSON.stringify(SEED_ITEM) }
    const responses = [
      await call('/healthcheck', KEY),
      await call('/healthcheck', WRONG),
      await call('/dead_letters', KEY),
      await call(`/healthcheck?api_key=${KEY}`, KEY),
      await call(`/${KEY}`, KEY),
      await call('/create_item', KEY, post),
      await call('/create_item', KEY, { method: 'POST', body: '{' }),
      await call('/order_processing', KEY),
    ]
    expect(responses.map(({ status }) => status)).toEqual([200, 401, 403, 200, 404, 200, 400, 504])
    await logged(producer, /"client":"(shop)"/)
    noSecretIn({
      output: producer.output(),
      responses: responses.map(({ all }) => all).join('\n'),
      admin: await adminPages(producer),
      arguments: argumentsOfAll(),
    })
  })

  it.each<[string, ServiceName, Record<string, string>, RegExp]>([
    ['a wrong password for RabbitMQ', 'producer', { RABBITMQ_PASSWORD: WRONG }, /ACCESS.REFUSED.*trying again/],
    ['a RabbitMQ that refuses connections', 'consumer_one', { RABBITMQ_PORT: '1' }, /ECONNREFUSED.*trying again/],
    [
      'a wrong password for MySQL',
      'consumer_two',
      { MYSQL_PASSWORD: WRONG },
      /waiting for MySQL on \S+: Access denied/,
    ],
    [
      'a MySQL that refuses connections',
      'consumer_three',
      { MYSQL_PORT: '1' },
      /waiting for MySQL on \S+: .*ECONNREFUSED/,
    ],
    [
      'a host that does not exist',
      'consumer_four',
      { MYSQL_HOST: 'mysql.invalid' },
      /waiting for MySQL on \S+: .*(ENOTFOUND|EAI_AGAIN)/,
    ],
    [
      'a MySQL without TLS when TLS is required',
      'consumer_two',
      { MYSQL_TLS: 'on', MYSQL_HOST: 'localhost' },
      /waiting for MySQL on \S+: TLS/,
    ],
  ])('by a service that encounters %s', async (_, name, env, pattern) => {
    const service = start(name, env)
    await logged(service, pattern)
    noSecretIn({ output: service.output(), admin: await adminPages(service), arguments: argumentsOfAll() })
  })

  it.each<[string, ServiceName, Record<string, string>, RegExp]>([
    [
      'a URL in place of a host of RabbitMQ',
      'producer',
      { RABBITMQ_HOST: `amqp://ims:${IN_URL}@rabbitmq` },
      /RABBITMQ_HOST: must be a host name or an address, not a URL/,
    ],
    [
      'a URL in place of a host of MySQL',
      'consumer_two',
      { MYSQL_HOST: `mysql://ims:${IN_URL}@mysql/ims` },
      /MYSQL_HOST: must be a host name or an address, not a URL/,
    ],
    [
      'a key in place of its hash',
      'producer',
      { API_KEYS: `shop read ${KEY}` },
      /API_KEYS: line 1: the third part must be/,
    ],
    [
      'a password in place of a port',
      'consumer_one',
      { RABBITMQ_PORT: WRONG },
      /RABBITMQ_PORT: must be a whole number/,
    ],
    [
      'an invalid private key',
      'consumer_three',
      { MYSQL_TLS: 'on', MYSQL_HOST: 'localhost', MYSQL_TLS_KEY: `-----BEGIN PRIVATE KEY-----\n${WRONG}\n` },
      /MYSQL_TLS_KEY: must be a private key in PEM/,
    ],
    [
      'a password that is set twice',
      'consumer_four',
      { MYSQL_PASSWORD: WRONG, MYSQL_PASSWORD_FILE: '/nowhere' },
      /MYSQL_PASSWORD: both MYSQL_PASSWORD and MYSQL_PASSWORD_FILE are set/,
    ],
    [
      'a file of a certificate authority that cannot be read',
      'consumer_one',
      { RABBITMQ_TLS: 'on', RABBITMQ_TLS_CA_FILE: '/nowhere/ca.pem' },
      /RABBITMQ_TLS_CA_FILE: cannot read \/nowhere\/ca\.pem: ENOENT/,
    ],
  ])('by a service configured with %s, which exits with 78', async (_, name, env, pattern) => {
    const service = start(name, env)
    expect(await service.ended).toBe(CONFIGURATION)
    expect(service.output()).toMatch(pattern)
    noSecretIn({ output: service.output() })
  })
})
