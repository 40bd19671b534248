// AMQP over TLS: messaging connects only to a broker with a valid certificate for its host. Otherwise a warning names the variables to check.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TlsOptions } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import {
  type Certificate,
  CertificateAuthority,
  serversEnvironment,
  serversUnderTest,
  startTlsProxy,
  type TlsProxy,
} from 'testkit'
import { type Broker, openBroker } from '../src/broker.ts'
import { rabbitmqEnvironment } from '../src/config.ts'
import { healthcheck } from '../src/contracts.ts'
import { quietService } from '../src/testing.ts'

const directory = mkdtempSync(join(tmpdir(), 'ims-amqps-'))
let ours: CertificateAuthority
let others: CertificateAuthority
let server: Certificate
let client: Certificate
let environment: Record<string, string>
let drop: () => Promise<void>

beforeAll(async () => {
  ours = new CertificateAuthority(join(directory, 'ours'))
  others = new CertificateAuthority(join(directory, 'others'), 'Another CA')
  server = ours.issue('broker', 'DNS:localhost', 'IP:127.0.0.1')
  client = ours.issue('client')
  const { space } = await serversUnderTest('amqps')
  environment = serversEnvironment(space)
  drop = () => space.drop()
})
afterAll(async () => {
  await drop()
  rmSync(directory, { recursive: true })
})

/** The promises of all calls of `open` in the current test. */
const opened: Promise<Broker>[] = []
const closing: { close(): Promise<void> }[] = []
afterEach(async () => {
  opened.length = 0
  for (const each of closing.splice(0).reverse()) await each.close()
})

async function proxy(options: TlsOptions): Promise<TlsProxy> {
  const { RABBITMQ_HOST: host = '', RABBITMQ_PORT: port } = environment
  const started = await startTlsProxy({ host, port: Number(port) }, options)
  closing.push(started)
  return started
}

/** Opens a broker and returns it. If an attempt fails, returns the first warning, and keeps retrying until the test ends. */
async function open(settings: Record<string, string>): Promise<Broker | string> {
  const config = rabbitmqEnvironment.parse({ ...environment, RABBITMQ_TLS: 'on', ...settings })
  const stop = new AbortController()
  let warn = (_: object, _message: string) => {}
  const warned = new Promise<string>((resolve) => {
    warn = (_, message) => void (message.includes('connection') && resolve(message))
  })
  const log = { ...quietService.log, warn: (fields: object, message: string) => warn(fields, message) }
  const opening = openBroker(config, { ...quietService, log, stopping: stop.signal }, { publishes: [healthcheck] })
  opened.push(opening)
  closing.push({
    close: async () => {
      stop.abort()
      await opening.then((broker) => broker.close()).catch(() => {})
    },
  })
  return await Promise.race([opening, warned])
}

const text = (result: Broker | string) => (typeof result === 'string' ? result : 'connected')

describe('AMQP over TLS', () => {
  it.each(['localhost', '127.0.0.1'])('publishes to a broker whose certificate is for its host: %s', async (host) => {
    const { port, rejected } = await proxy({ cert: server.cert, key: server.key })
    const settings = { RABBITMQ_HOST: host, RABBITMQ_PORT: String(port), RABBITMQ_TLS_CA: ours.cert }
    const broker = await open(settings)
    if (typeof broker === 'string') throw new Error(broker)
    const { messageId } = await broker.publisher.publish(healthcheck, ['message', 'Healthcheck'])
    expect(messageId).toMatch(/^[0-9a-f-]{36}$/)
    expect(rejected).toBe(0)
  })

  it.each([
    ['localhost', 'DNS:localhost', true],
    ['127.0.0.1', 'DNS:localhost', false],
    ['127.0.0.1', 'IP:127.0.0.1', true],
    ['localhost', 'IP:127.0.0.1', false],
    ['127.0.0.1', 'IP:127.0.0.2', false],
    // An IP address must be in an IP entry of the certificate, not in a DNS entry.
    ['127.0.0.1', 'DNS:127.0.0.1', false],
  ])('compares the host %s with a certificate for %s only (accepted: %s)', async (host, name, isAccepted) => {
    const alone = ours.issue('alone', name)
    const { port } = await proxy({ cert: alone.cert, key: alone.key })
    const result = text(await open({ RABBITMQ_HOST: host, RABBITMQ_PORT: String(port), RABBITMQ_TLS_CA: ours.cert }))
    expect(result).toMatch(isAccepted ? /^connected$/ : /TLS: the server's certificate is for another name/)
  })

  it('compares an IP address in RABBITMQ_TLS_SERVER_NAME with the certificate, instead of the host', async () => {
    const { port } = await proxy({ cert: server.cert, key: server.key })
    const settings = { RABBITMQ_HOST: 'localhost', RABBITMQ_PORT: String(port), RABBITMQ_TLS_CA: ours.cert }
    expect(text(await open({ ...settings, RABBITMQ_TLS_SERVER_NAME: '127.0.0.1' }))).toBe('connected')
    for (const address of ['10.9.9.9', '::1'])
      expect(text(await open({ ...settings, RABBITMQ_TLS_SERVER_NAME: address }))).toContain('is for another name')
  })

  it('uses the name in RABBITMQ_TLS_SERVER_NAME instead of the host', async () => {
    const named = ours.issue('named', 'DNS:rabbitmq.example')
    const { port } = await proxy({ cert: named.cert, key: named.key })
    const settings = { RABBITMQ_HOST: '127.0.0.1', RABBITMQ_PORT: String(port), RABBITMQ_TLS_CA: ours.cert }
    expect(text(await open({ ...settings, RABBITMQ_TLS_SERVER_NAME: 'rabbitmq.example' }))).toBe('connected')
  })

  it('rejects a certificate for another name', async () => {
    const other = ours.issue('other', 'DNS:other.example')
    const { port } = await proxy({ cert: other.cert, key: other.key })
    const settings = { RABBITMQ_HOST: 'localhost', RABBITMQ_PORT: String(port), RABBITMQ_TLS_CA: ours.cert }
    expect(text(await open(settings))).toMatch(
      /TLS: the server's certificate is for another name: check RABBITMQ_HOST and RABBITMQ_TLS_SERVER_NAME .*other\.example.*; trying again$/,
    )
  })

  it('compares the certificate with the host that it connects to, and tries the next host if they differ', async () => {
    const other = ours.issue('127.0.0.2', 'IP:127.0.0.2')
    const { port } = await proxy({ cert: other.cert, key: other.key })
    const { port: right } = await proxy({ cert: server.cert, key: server.key })
    const settings = { RABBITMQ_HOST: `127.0.0.1:${port},localhost:${right}`, RABBITMQ_TLS_CA: ours.cert }
    let result = 'connected'
    // Each client starts with a random host. Repeat until one starts with the wrong host.
    while (result === 'connected') result = text(await open(settings))
    expect(result).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}: TLS: .* is for another name`))
    await Promise.all(opened)
  })

  it('rejects a certificate from an untrusted authority', async () => {
    const { port } = await proxy({ cert: server.cert, key: server.key })
    const settings = { RABBITMQ_HOST: 'localhost', RABBITMQ_PORT: String(port) }
    const sentence = /TLS: the server's certificate is not from a trusted authority: check RABBITMQ_TLS_CA /
    expect(text(await open({ ...settings, RABBITMQ_TLS_CA: others.cert }))).toMatch(sentence)
    expect(text(await open(settings))).toMatch(sentence)
  })

  it('reports that the server does not use TLS on this port', async () => {
    expect(text(await open({}))).toMatch(
      /TLS: the server does not use TLS on this port: check RABBITMQ_PORT and RABBITMQ_TLS /,
    )
  })

  it('presents its client certificate on request, and reports a missing or untrusted one', async () => {
    const { port } = await proxy({
      cert: server.cert,
      key: server.key,
      ca: ours.cert,
      requestCert: true,
      rejectUnauthorized: true,
    })
    const settings = { RABBITMQ_HOST: 'localhost', RABBITMQ_PORT: String(port), RABBITMQ_TLS_CA: ours.cert }
    const shown = { RABBITMQ_TLS_CERT: client.cert, RABBITMQ_TLS_KEY: client.key }
    expect(text(await open({ ...settings, ...shown }))).toBe('connected')
    // With TLS 1.3 the server checks the client certificate last. Its alert may be lost when the connection ends.
    const sentence =
      /TLS: the server (rejected our certificate|closed the connection during the handshake.*): check RABBITMQ_TLS_CERT and RABBITMQ_TLS_KEY /
    expect(text(await open(settings))).toMatch(sentence)
    const wrong = others.issue('client')
    const settingsOfAnother = { ...settings, RABBITMQ_TLS_CERT: wrong.cert, RABBITMQ_TLS_KEY: wrong.key }
    expect(text(await open(settingsOfAnother))).toMatch(sentence)
  })
})

describe('the TLS variables', () => {
  const problems = (settings: Record<string, string>) =>
    rabbitmqEnvironment.safeParse(settings).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)

  it('accept a bundle of several authorities', () => {
    expect(problems({ RABBITMQ_TLS: 'on', RABBITMQ_TLS_CA: `# ours\n${ours.cert}\n${others.cert}` })).toBeUndefined()
  })

  it('are rejected when they are not PEM, do not belong together, or are set while TLS is off', () => {
    const on = { RABBITMQ_TLS: 'on' }
    const cut = `${ours.cert.slice(0, 200)}\n-----END CERTIFICATE-----`
    expect(problems({ ...on, RABBITMQ_TLS_CA: '/etc/ca.pem' })).toEqual([
      'RABBITMQ_TLS_CA: must be one or more certificates in PEM',
    ])
    expect(problems({ ...on, RABBITMQ_TLS_CA: `${ours.cert}\n${cut}` })).toHaveLength(1)
    expect(problems({ ...on, RABBITMQ_TLS_KEY: server.cert })).toEqual([
      'RABBITMQ_TLS_KEY: must be a private key in PEM, without a passphrase',
    ])
    expect(problems({ ...on, RABBITMQ_TLS_CERT: client.cert })).toEqual([
      'RABBITMQ_TLS_KEY: is needed with RABBITMQ_TLS_CERT',
    ])
    expect(problems({ ...on, RABBITMQ_TLS_KEY: client.key })).toEqual([
      'RABBITMQ_TLS_CERT: is needed with RABBITMQ_TLS_KEY',
    ])
    expect(problems({ ...on, RABBITMQ_TLS_CERT: client.cert, RABBITMQ_TLS_KEY: server.key })).toEqual([
      'RABBITMQ_TLS_KEY: is not the key of RABBITMQ_TLS_CERT',
    ])
    expect(problems({ RABBITMQ_TLS_CA: ours.cert })).toEqual([
      'RABBITMQ_TLS: is off, but RABBITMQ_TLS_CA is set: nothing would be encrypted',
    ])
  })
})
