// Every owner has its own secrets, the servers' files are generated from them, and existing secrets are kept.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'
import { makeAccounts, owners } from '../src/make-accounts.ts'
import { services, queues as suiteQueues } from '../src/suite.ts'
import { writeAccounts } from '../src/to-directories.ts'

const definitions = z.object({
  users: z.array(z.object({ name: z.string(), tags: z.array(z.string()), password_hash: z.base64() })),
  permissions: z.array(z.object({ user: z.string(), configure: z.string(), write: z.string(), read: z.string() })),
  queues: z.array(z.object({ name: z.string(), durable: z.literal(true) })),
})

/** The number of secrets: six for RabbitMQ, MySQL and the migration. Each service has one for the broker, and one for MySQL if it uses tables. */
const SECRETS = 6 + services.length + services.filter(({ tables }) => tables).length
const consumers = services.filter(({ consumes }) => consumes.length > 0)

describe('makeAccounts', () => {
  it('gives every owner its own secrets', () => {
    const accounts = makeAccounts({})
    const secrets = owners.flatMap((owner) =>
      Object.entries(accounts[owner] ?? {})
        .filter(([file]) => !file.includes('.'))
        .map(([, secret]) => secret),
    )
    expect(secrets).toHaveLength(SECRETS)
    expect(new Set(secrets).size).toBe(secrets.length)
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{43}$/)
  })

  it('hashes each RabbitMQ password as RabbitMQ does, and puts no plain password into the definitions', () => {
    const accounts = makeAccounts({})
    const text = accounts.rabbitmq?.['definitions.json'] ?? ''
    for (const { name, password_hash } of definitions.parse(JSON.parse(text)).users) {
      const isOfTheBroker = ['operator', 'monitoring'].includes(name)
      const password = isOfTheBroker ? accounts.rabbitmq?.[`${name}-password`] : accounts[name]?.['rabbitmq-password']
      const bytes = Buffer.from(password_hash, 'base64')
      const hash = createHash('sha256')
        .update(bytes.subarray(0, 4))
        .update(password ?? '')
        .digest()
      expect(bytes.subarray(4)).toEqual(hash)
      expect(text).not.toContain(password)
    }
  })

  it('puts the MySQL passwords of the migration and the services into the statements, one statement per line', () => {
    const accounts = makeAccounts({})
    const lines = (accounts.mysql?.['accounts.sql'] ?? '').split('\n').filter((line) => line !== '')
    for (const line of lines) expect(line).toMatch(/^(CREATE|ALTER|GRANT|REVOKE) .*;$/)
    for (const user of ['migrate', ...services.filter(({ tables }) => tables).map(({ name }) => name)])
      expect(lines).toContain(`ALTER USER '${user}'@'%' IDENTIFIED BY '${accounts[user]?.['mysql-password']}';`)
  })

  it('revokes all privileges of a user before it grants any, so that none remains from an earlier version', () => {
    const lines = (makeAccounts({}).mysql?.['accounts.sql'] ?? '').split('\n')
    const usersOf = (line = '') => [...line.matchAll(/'(\w+)'@'%'/g)].map(([, user = '']) => user)
    const revoke = lines.findIndex((line) => line.startsWith('REVOKE ALL PRIVILEGES, GRANT OPTION FROM '))
    const granted = lines.filter((line) => line.startsWith('GRANT ')).flatMap(usersOf)
    expect(usersOf(lines[revoke]).sort()).toEqual([...new Set(granted)].sort())
    expect(lines.slice(0, revoke).filter((line) => line.startsWith('GRANT '))).toEqual([])
  })

  it('gives the backup user no privilege but SELECT', () => {
    const accounts = makeAccounts({})
    const lines = (accounts.mysql?.['accounts.sql'] ?? '').split('\n').filter((line) => line.includes("'backup'"))
    expect(lines.slice(2)).toEqual([
      `ALTER USER 'backup'@'%' IDENTIFIED BY '${accounts.mysql?.['backup-password']}';`,
      "GRANT SELECT ON ims.* TO 'backup'@'%';",
    ])
  })

  it('lets only services that apply messages insert into and delete from the inbox', () => {
    const statements = (makeAccounts({}).mysql?.['accounts.sql'] ?? '').split('\n')
    const onInbox = statements.filter((line) => /^GRANT .* ON ims\.inbox /.test(line))
    expect(onInbox).toEqual([
      "GRANT CREATE, SELECT, INSERT, DELETE ON ims.inbox TO 'consumer_two'@'%';",
      "GRANT CREATE, SELECT, INSERT, DELETE ON ims.inbox TO 'consumer_three'@'%';",
      "GRANT CREATE, SELECT ON ims.inbox TO 'consumer_four'@'%';",
    ])
  })

  it('keeps existing secrets, creates missing ones, and generates the same files from the same secrets', () => {
    const first = makeAccounts({})
    expect(makeAccounts(first)).toEqual(first)
    const { producer: _, ...without } = first
    const second = makeAccounts(without)
    expect(second.consumer_two).toEqual(first.consumer_two)
    expect(second.producer).not.toEqual(first.producer)
    expect(second.rabbitmq?.['definitions.json']).not.toBe(first.rabbitmq?.['definitions.json'])
  })

  it('rejects a secret that could end its SQL string', () => {
    const evil = { migrate: { 'mysql-password': "x'; DROP DATABASE ims; --" } }
    expect(() => makeAccounts(evil)).toThrow(
      'the secret mysql-password of migrate may contain only letters, digits, _ and -',
    )
  })

  it('makes only the operator an administrator of RabbitMQ', () => {
    const { users } = definitions.parse(JSON.parse(makeAccounts({}).rabbitmq?.['definitions.json'] ?? ''))
    expect(users.filter(({ tags }) => tags.length > 0).map(({ name, tags }) => [name, tags])).toEqual([
      ['operator', ['administrator']],
      ['monitoring', ['monitoring']],
    ])
  })

  it('lets consumers read only their queues, and the producer read only dead letters and declare only their lock queues', () => {
    const { permissions } = definitions.parse(JSON.parse(makeAccounts({}).rabbitmq?.['definitions.json'] ?? ''))
    expect(
      permissions.filter(({ configure }) => configure !== '^$').map(({ user, configure }) => [user, configure]),
    ).toEqual([
      ['producer', `^(${Object.keys(suiteQueues).join('|')})\\.dead-letter\\.reader$`],
      ['operator', '.*'],
    ])
    expect(permissions.map(({ user, read }) => [user, read])).toEqual([
      ...consumers.map(({ name, consumes: [first, ...others] }) => [
        name,
        others.length === 0 ? `^${first}$` : `^(${[first, ...others].join('|')})$`,
      ]),
      ['producer', `^(${Object.keys(suiteQueues).join('|')})\\.dead-letter$`],
      ['operator', '.*'],
      ['monitoring', '^$'],
    ])
  })

  it('lets consumers write only to the default exchange and their own dead letters, and the producer only to its queues', () => {
    const { permissions } = definitions.parse(JSON.parse(makeAccounts({}).rabbitmq?.['definitions.json'] ?? ''))
    const among = (names: readonly string[]) => `^(${names.map((name) => name.replaceAll('.', '\\.')).join('|')})$`
    expect(permissions.map(({ user, write }) => [user, write])).toEqual([
      ...consumers.map(({ name, consumes }) => [
        name,
        among(['amq.default', ...consumes.map((queue) => `${queue}.dead-letter`)]),
      ]),
      ['producer', among(['amq.default', ...Object.keys(suiteQueues)])],
      ['operator', '.*'],
      ['monitoring', '^$'],
    ])
  })
})

it('sets no delivery limit on dead letters, so that frequent browsing removes none', () => {
  const limited = z.object({
    policies: z.array(
      z.object({ pattern: z.string(), definition: z.object({ 'delivery-limit': z.int().optional() }) }),
    ),
    queues: z.array(z.object({ name: z.string() })),
  })
  const { policies, queues } = limited.parse(JSON.parse(makeAccounts({}).rabbitmq?.['definitions.json'] ?? ''))
  const deadLetterQueues = queues.map(({ name }) => name).filter((name) => name.endsWith('.dead-letter'))
  expect(deadLetterQueues).toEqual(Object.keys(suiteQueues).map((queue) => `${queue}.dead-letter`))
  for (const name of deadLetterQueues)
    expect(
      policies.filter(({ pattern }) => new RegExp(pattern).test(name)).map(({ definition }) => definition),
    ).toEqual([{ 'delivery-limit': -1 }])
})

it('sets a dead-letter target for commands but not for queries, because an expired query has no waiting caller', () => {
  const broker = z.object({
    policies: z.array(z.object({ pattern: z.string(), definition: z.record(z.string(), z.unknown()) })),
  })
  const { policies } = broker.parse(JSON.parse(makeAccounts({}).rabbitmq?.['definitions.json'] ?? ''))
  const targetsOf = (queue: string) =>
    policies
      .filter(({ pattern }) => new RegExp(pattern).test(queue))
      .map(({ definition }) => definition['dead-letter-routing-key'])
  for (const [queue, kind] of Object.entries(suiteQueues)) {
    const target = `${queue}.dead-letter`
    expect(targetsOf(queue)).toEqual(kind === 'command' ? [target, target] : [undefined])
  }
})

it('limits the deliveries of a command on a quorum queue, and loses no message on the way to its dead letters', () => {
  const broker = z.object({
    policies: z.array(
      z.object({
        pattern: z.string(),
        'apply-to': z.enum(['queues', 'quorum_queues']),
        priority: z.int(),
        definition: z.record(z.string(), z.unknown()),
      }),
    ),
  })
  const { policies } = broker.parse(JSON.parse(makeAccounts({}).rabbitmq?.['definitions.json'] ?? ''))
  // Of the policies that match a queue, RabbitMQ applies only the one with the highest priority.
  const appliedTo = (queue: string, types: readonly string[]) =>
    policies
      .filter(({ pattern, 'apply-to': type }) => new RegExp(pattern).test(queue) && types.includes(type))
      .sort((a, b) => b.priority - a.priority)[0]?.definition
  for (const [queue] of Object.entries(suiteQueues).filter(([, kind]) => kind === 'command')) {
    const target = { 'dead-letter-exchange': '', 'dead-letter-routing-key': `${queue}.dead-letter` }
    // RabbitMQ dead-letters at least once only if the queue also rejects messages when it is full.
    expect(appliedTo(queue, ['queues', 'quorum_queues'])).toEqual({
      ...target,
      'dead-letter-strategy': 'at-least-once',
      overflow: 'reject-publish',
      'delivery-limit': 20,
    })
    expect(appliedTo(queue, ['queues'])).toEqual(target)
  }
})

describe('accounts in directories', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-accounts-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('are created once, and completed when one is missing', () => {
    expect(writeAccounts(directory).made).toHaveLength(SECRETS + 2)
    const password = readFileSync(join(directory, 'migrate', 'mysql-password'), 'utf8')
    expect(writeAccounts(directory).made).toEqual([])
    rmSync(join(directory, 'consumer_two'), { recursive: true })
    expect(writeAccounts(directory).made.sort()).toEqual([
      'consumer_two/mysql-password',
      'consumer_two/rabbitmq-password',
      'mysql/accounts.sql',
      'rabbitmq/definitions.json',
    ])
    expect(readFileSync(join(directory, 'migrate', 'mysql-password'), 'utf8')).toBe(password)
  })

  it('are readable by every user, writable by none, and created again when a killed run left an empty file', () => {
    writeAccounts(directory)
    const path = join(directory, 'mysql', 'root-password')
    expect(statSync(path).mode & 0o777).toBe(0o444)
    rmSync(path)
    writeFileSync(path, '')
    expect(writeAccounts(directory).made).toEqual(['mysql/root-password'])
  })
})
