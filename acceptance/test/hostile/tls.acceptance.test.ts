// Real services work over TLS, and NODE_TLS_REJECT_UNAUTHORIZED does not turn off the verification of certificates.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import {
  CertificateAuthority,
  hasServerPrograms,
  privateMysql,
  serversEnvironment,
  serversUnderTest,
  startTlsProxy,
  type TestSpace,
  type TlsProxy,
} from 'testkit'
import { killAll, logged, startWith } from '../alerts/service-in-trouble.ts'

const directory = mkdtempSync(join(tmpdir(), 'ims-services-tls-'))
const WEAKENED = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
let ours: CertificateAuthority
let others: CertificateAuthority
let space: TestSpace
let proxy: TlsProxy
let environment: Record<string, string>

beforeAll(async () => {
  ours = new CertificateAuthority(join(directory, 'ours'))
  others = new CertificateAuthority(join(directory, 'others'), 'Another CA')
  ;({ space } = await serversUnderTest('services over TLS'))
  proxy = await startTlsProxy(space.rabbitmq, ours.issue('broker', 'DNS:localhost'))
  environment = {
    ...serversEnvironment(space),
    ...{ PORT: '0', ADMIN_PORT: '0', LOG_FORMAT: 'json', WAIT_FOR_CONSUMERS: 'false' },
    ...{ RABBITMQ_HOST: 'localhost', RABBITMQ_PORT: String(proxy.port), RABBITMQ_TLS: 'on' },
    RABBITMQ_TLS_CA_FILE: ours.certFile,
  }
})
afterEach(killAll)
afterAll(async () => {
  await proxy.close()
  await space.drop()
  rmSync(directory, { recursive: true })
})

describe('services over TLS', () => {
  it('publish and consume', async () => {
    const consumer = startWith('consumer_one', environment)
    const producer = startWith('producer', environment)
    const port = await logged(producer, /listening on http:\/\/127\.0\.0\.1:(\d+)/)
    expect((await fetch(`http://127.0.0.1:${port}/healthcheck`)).status).toBe(200)
    await logged(consumer, /(health check received)/)
  })

  it('verify the broker’s certificate despite NODE_TLS_REJECT_UNAUTHORIZED, keep retrying, and stop on SIGTERM', async () => {
    const wrong = { RABBITMQ_TLS_CA_FILE: others.certFile, RABBITMQ_RECONNECT_MOST_MS: '100' }
    const producer = startWith('producer', { ...environment, ...wrong, ...WEAKENED })
    const refusal = 'not from a trusted authority: check RABBITMQ_TLS_CA '
    await logged(producer, new RegExp(`(${refusal})[^\\n]*\\n[^]*${refusal}`))
    producer.signal('SIGTERM')
    expect(await producer.ended).toBe(0)
  })

  it('exit with 78 when a certificate authority cannot be read or is invalid', async () => {
    const file = join(directory, 'none.pem')
    writeFileSync(file, 'no certificate')
    for (const path of [join(directory, 'absent.pem'), file]) {
      const service = startWith('consumer_one', { ...environment, RABBITMQ_TLS_CA_FILE: path })
      expect(await service.ended).toBe(78)
      expect(service.output()).toMatch(/configuration: RABBITMQ_TLS_CA(_FILE: cannot read|: must be one or more cert)/)
    }
  })

  const withMysql = hasServerPrograms() ? it : it.skip
  const why = hasServerPrograms() ? '' : ' (skipped: no mariadbd or mysqld on this machine)'
  withMysql(
    `verify MySQL’s certificate despite NODE_TLS_REJECT_UNAUTHORIZED${why}`,
    async () => {
      const { certFile, keyFile } = ours.issue('mysql', 'DNS:localhost')
      const options = [`--ssl-ca=${ours.certFile}`, `--ssl-cert=${certFile}`, `--ssl-key=${keyFile}`]
      const { mysql, end } = await privateMysql(join(directory, 'mysql'), options)
      try {
        const access = {
          ...{ MYSQL_HOST: 'localhost', MYSQL_PORT: String(mysql.port), MYSQL_USER: mysql.user, MYSQL_TLS: 'on' },
          ...{ MYSQL_PASSWORD: mysql.password, MYSQL_DATABASE: mysql.database },
        }
        const trusting = startWith('consumer_four', { ...environment, ...access, MYSQL_TLS_CA_FILE: ours.certFile })
        await logged(trusting, /(waiting for the schema to be migrated)/)
        const wrong = { MYSQL_TLS_CA_FILE: others.certFile, ...WEAKENED }
        const service = startWith('consumer_four', { ...environment, ...access, ...wrong })
        await logged(
          service,
          /(waiting for MySQL on \S+: TLS: the server's certificate is not from a trusted authority)/,
        )
      } finally {
        await killAll()
        await end()
      }
    },
    120_000,
  )
})
