// MySQL over TLS: connects only to a server with a valid certificate for its host. Otherwise the error names the variables to
// check.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  type Certificate,
  CertificateAuthority,
  hasServerPrograms,
  type PrivateMysql,
  privateMysql,
  serversUnderTest,
} from 'testkit'
import { z } from 'zod'
import { mysqlEnvironment } from '../src/config.ts'
import { connectionsTo } from '../src/connections.ts'
import { openDatabase } from '../src/database.ts'
import { migrate } from '../src/migrate.ts'
import { serviceUnderTest } from './service.ts'

const directory = mkdtempSync(join(tmpdir(), 'ims-mysql-tls-'))
let ours: CertificateAuthority
let others: CertificateAuthority
let client: Certificate
let server: PrivateMysql | undefined

beforeAll(async () => {
  ours = new CertificateAuthority(join(directory, 'ours'))
  others = new CertificateAuthority(join(directory, 'others'), 'Another CA')
  const certificate = ours.issue('mysql', 'DNS:localhost', 'DNS:mysql.example', 'IP:127.0.0.1')
  client = ours.issue('client')
  if (!hasServerPrograms()) return
  server = await privateMysql(join(directory, 'server'), [
    `--ssl-ca=${ours.certFile}`,
    `--ssl-cert=${certificate.certFile}`,
    `--ssl-key=${certificate.keyFile}`,
  ])
  await server.mysql.sql(
    "CREATE USER 'certified'@'%' IDENTIFIED BY 'certified' REQUIRE X509; GRANT ALL ON ims.* TO 'certified'@'%'",
  )
})
afterAll(async () => {
  await server?.end()
  rmSync(directory, { recursive: true })
})

/** Defines a test on a private MySQL with its own options. Skipped where MySQL runs only in a container. */
function withMysql(name: string, test: (mysql: PrivateMysql['mysql']) => Promise<void>): void {
  const run = hasServerPrograms() ? it : it.skip
  run(hasServerPrograms() ? name : `${name} (skipped: no mariadbd or mysqld on this machine)`, async () => {
    if (server === undefined) throw new Error('the private MySQL was not started')
    await test(server.mysql)
  })
}

function configOf({ port, user, password, database }: PrivateMysql['mysql'], settings: Record<string, string> = {}) {
  return mysqlEnvironment.parse({
    ...{ MYSQL_HOST: 'localhost', MYSQL_PORT: String(port), MYSQL_USER: user, MYSQL_PASSWORD: password },
    ...{ MYSQL_DATABASE: database, MYSQL_TLS: 'on', MYSQL_TLS_CA: ours.cert, ...settings },
  })
}

const status = z.tuple([z.object({ Value: z.string() })])

/** The cipher of the connection, or why there is none. */
async function cipher(config: ReturnType<typeof configOf>): Promise<string> {
  const connections = connectionsTo(config)
  try {
    const rows = await connections.lend(({ sql }) => sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))
    return `encrypted with ${status.parse(rows)[0].Value}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await connections.close()
  }
}

describe('MySQL over TLS', () => {
  withMysql(
    'is refused when its certificate does not contain its IP address, instead of being verified as localhost',
    async (mysql) => {
      const encrypted = /^encrypted with /
      expect(await cipher(configOf(mysql, { MYSQL_HOST: '127.0.0.1' }))).toMatch(encrypted)
      expect(await cipher(configOf(mysql, { MYSQL_TLS_SERVER_NAME: '127.0.0.1' }))).toMatch(encrypted)
      for (const address of ['10.9.9.9', '::1'])
        expect(await cipher(configOf(mysql, { MYSQL_TLS_SERVER_NAME: address }))).toContain(
          "the server's certificate is for another name",
        )
    },
  )

  withMysql('is encrypted, and works for `migrate` and services', async (mysql) => {
    const config = configOf(mysql)
    expect(await cipher(config)).toMatch(/^encrypted with TLS_/)
    const service = serviceUnderTest()
    await migrate(config, service.log)
    const database = await openDatabase(config, service)
    expect(await database.notReady()).toBeUndefined()
    await database.close()
  })

  withMysql('is not encrypted unless MYSQL_TLS is on', async (mysql) => {
    const { port, user, password, database } = mysql
    const plain = { MYSQL_PORT: String(port), MYSQL_USER: user, MYSQL_PASSWORD: password, MYSQL_DATABASE: database }
    expect(await cipher(mysqlEnvironment.parse(plain))).toBe('encrypted with ')
  })

  withMysql('is verified by the name in MYSQL_TLS_SERVER_NAME instead of the host', async (mysql) => {
    const settings = { MYSQL_HOST: '127.0.0.1', MYSQL_TLS_SERVER_NAME: 'mysql.example' }
    expect(await cipher(configOf(mysql, settings))).toMatch(/^encrypted with TLS_/)
  })

  withMysql('is refused when its certificate is for another name', async (mysql) => {
    const sentence =
      /^TLS: the server's certificate is for another name: check MYSQL_HOST and MYSQL_TLS_SERVER_NAME .*mysql\.example/
    expect(await cipher(configOf(mysql, { MYSQL_TLS_SERVER_NAME: 'other.example' }))).toMatch(sentence)
  })

  withMysql('is refused when its certificate is not from a trusted authority', async (mysql) => {
    const sentence = /^TLS: the server's certificate is not from a trusted authority: check MYSQL_TLS_CA /
    expect(await cipher(configOf(mysql, { MYSQL_TLS_CA: others.cert }))).toMatch(sentence)
    const { tls, ...config } = configOf(mysql)
    expect(
      await cipher({
        ...config,
        tls: { ...tls, ca: undefined, cert: undefined, key: undefined, serverName: undefined },
      }),
    ).toMatch(sentence)
  })

  withMysql('receives the client certificate that it requires', async (mysql) => {
    const user = { MYSQL_USER: 'certified', MYSQL_PASSWORD: 'certified' }
    const shown = { MYSQL_TLS_CERT: client.cert, MYSQL_TLS_KEY: client.key }
    expect(await cipher(configOf(mysql, { ...user, ...shown }))).toMatch(/^encrypted with TLS_/)
    expect(await cipher(configOf(mysql, user))).toMatch(/Access denied for user 'certified'/)
  })

  withMysql('makes a service log why it waits at startup when the certificate is not trusted', async (mysql) => {
    const service = serviceUnderTest()
    const opening = openDatabase(configOf(mysql, { MYSQL_TLS_CA: others.cert, MYSQL_RETRY_MOST_MS: '100' }), service)
    while (service.lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    service.stop()
    await expect(opening).rejects.toThrow('stopping')
    expect(service.lines).toEqual([expect.stringMatching(/^waiting for MySQL on \S+: TLS: .*check MYSQL_TLS_CA /)])
  })

  it('is refused when it does not offer verified TLS, instead of being used unencrypted', async () => {
    const { servers, space } = await serversUnderTest('mysql_without_tls')
    try {
      const { port, user, password, database } = space.mysql
      const answer = await cipher(configOf({ ...servers.mysql, port, user, password, database }))
      // MySQL's own image generates a certificate for itself, which is not from a trusted authority.
      expect(answer).toMatch(
        servers.mode === 'docker'
          ? /^TLS: the server's certificate is not from a trusted authority/
          : /^TLS: the server does not use TLS on this port: check MYSQL_PORT and MYSQL_TLS /,
      )
    } finally {
      await space.drop()
    }
  })
})

describe('the TLS variables', () => {
  const problems = (settings: Record<string, string>) =>
    mysqlEnvironment.safeParse(settings).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)

  it('are rejected when they are not PEM, or are inconsistent', () => {
    const on = { MYSQL_TLS: 'on', MYSQL_HOST: 'localhost' }
    expect(problems({ ...on, MYSQL_TLS_CA: '/etc/ca.pem' })).toEqual([
      'MYSQL_TLS_CA: must be one or more certificates in PEM',
    ])
    expect(problems({ ...on, MYSQL_TLS_CERT: client.cert })).toEqual(['MYSQL_TLS_KEY: is needed with MYSQL_TLS_CERT'])
    expect(problems({ MYSQL_TLS_CA: ours.cert })).toEqual([
      'MYSQL_TLS: is off, but MYSQL_TLS_CA is set: nothing would be encrypted',
    ])
    expect(problems({ MYSQL_TLS: 'on', MYSQL_HOST: '192.0.2.1' })).toBeUndefined()
  })
})
