// Tests `docker compose up` as a new user runs it: health, the four calls of the original suite, least privilege, stop and start again.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { queues, services } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, start } from 'testkit'
import { z } from 'zod'
import { call, item, SEED_ITEM } from '../http.ts'
import { ROOT } from '../stack.ts'
import { runNewman } from '../wire/newman.ts'
import {
  asOperator,
  basic,
  buildAndUp,
  compose,
  containers,
  docker,
  environment,
  execIn,
  http,
  inspect,
  management,
  rabbitmqctl,
  ran,
  removeAll,
  runIn,
  SERVICES,
  sql,
  up,
} from './compose.ts'

const MINUTE_MS = 60_000
const withTables = services.filter(({ tables }) => tables)
const ONE_SHOT = ['accounts', 'migrate']

beforeAll(async () => {
  await removeAll()
  await buildAndUp()
}, 15 * MINUTE_MS)
afterAll(async () => {
  await removeAll()
}, 2 * MINUTE_MS)

describe('docker compose up --build --wait', () => {
  it('starts every server and service healthy, and both one-shot containers exit with 0', async () => {
    const all = await containers()
    const long = all.filter(({ Service }) => !ONE_SHOT.includes(Service))
    expect(long.map(({ Service }) => Service).sort()).toEqual([...SERVICES, 'mysql', 'rabbitmq'].sort())
    for (const each of long) expect(each).toMatchObject({ State: 'running', Health: 'healthy' })
    for (const name of ONE_SHOT) expect(await inspect(name)).toMatchObject({ State: { Status: 'exited', ExitCode: 0 } })
  })

  it(
    'starts the producer after RabbitMQ and all consumers, and the consumers that use tables after the migration',
    async () => {
      const startedAt = async (service: string) =>
        Date.parse(
          z.object({ State: z.object({ StartedAt: z.string() }) }).parse(await inspect(service)).State.StartedAt,
        )
      const producer = await startedAt('producer')
      for (const service of ['rabbitmq', ...SERVICES.filter((name) => name !== 'producer')]) {
        const { State } = healthLog.parse(await inspect(service))
        const firstHealthy = State.Health.Log.find(({ ExitCode }) => ExitCode === 0)
        // Docker keeps only the last five health checks, so the test compares start times.
        expect(await startedAt(service)).toBeLessThan(producer)
        expect(firstHealthy).toBeDefined()
      }
      for (const { name: consumer } of withTables)
        expect(await startedAt(consumer)).toBeGreaterThan(await startedAt('migrate'))
    },
    MINUTE_MS,
  )

  it('handles the four calls of the original suite', async () => {
    expect(await call(`${http}/healthcheck`)).toMatchObject({
      status: 200,
      body: { message: 'Health check message sent' },
    })
    await eventually(async () => expect(await compose('logs', 'consumer_one')).toContain('health check received'))
    expect(await call(`${http}/create_item`, { json: SEED_ITEM })).toMatchObject({
      status: 200,
      body: { message: 'Create item message sent' },
    })
    await eventually(async () => expect(await call(`${http}/order_processing`)).toMatchObject({ body: [SEED_ITEM] }))
    expect(await sql('SELECT sku, quantity FROM inventory')).toBe('IB123456789\t50')
    expect(await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku } })).toMatchObject({
      status: 200,
      body: { message: 'Stock management (item delete) message sent' },
    })
    await eventually(async () => expect(await call(`${http}/order_processing`)).toMatchObject({ body: [] }))
  })

  it(
    'passes every request of the Postman collection',
    async () => {
      expect(await runNewman(http)).toMatchObject({ code: 0 })
    },
    MINUTE_MS,
  )

  it(
    'lets an operator list, redrive and discard dead letters in the producer’s container, and requires a key over HTTP',
    async () => {
      const deadLetters = (...args: string[]) => execIn('producer', 'node', 'producer/src/dead-letters.ts', ...args)
      // The refused requests of the Postman collection have left dead letters.
      await deadLetters('discard', 'create_item', '--all', '--yes')
      for (let time = 0; time < 2; time += 1) await call(`${http}/create_item`, { json: SEED_ITEM })
      await eventually(async () =>
        expect(await deadLetters('list', 'create_item')).toContain('1 dead letters: duplicate-sku 1'),
      )
      await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku } })
      await eventually(async () => expect(await call(`${http}/order_processing`)).toMatchObject({ body: [] }))
      expect(await deadLetters('redrive', 'create_item', '--all')).toContain('1 redriven: 1 applied')
      await eventually(async () => expect(await call(`${http}/order_processing`)).toMatchObject({ body: [SEED_ITEM] }))
      await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku } })
      await eventually(async () => expect(await call(`${http}/order_processing`)).toMatchObject({ body: [] }))
      expect(await call(`${http}/dead_letters`)).toMatchObject({ status: 403 })
    },
    MINUTE_MS,
  )

  it(
    'passes the checks of the doctor, which reports a queue without consumers after its consumer is stopped',
    async () => {
      const healthy = await ran('docker', 'compose', 'run', '--rm', 'doctor')
      expect(healthy).toMatchObject({ code: 2, output: expect.not.stringContaining('✗') })
      for (const { name } of services) expect(healthy.output).toContain(`✓ RabbitMQ login of ${name}`)
      for (const { name } of withTables) expect(healthy.output).toContain(`✓ MySQL login of ${name}`)
      await compose('stop', 'consumer_two')
      const ill = await ran(process.execPath, 'up/src/main.ts', 'doctor')
      await up('consumer_two')
      expect(ill).toMatchObject({ code: 1, output: expect.stringMatching(/✗ consumers of create_item: none/) })
    },
    3 * MINUTE_MS,
  )

  it.each([
    ['mysql', 'mysql'],
    ['broker', 'rabbitmq'],
    ['consumer_two', 'consumer_two'],
  ])(
    'works again after `npm run break` has frozen %s',
    async (what, service) => {
      const state = async () => (await containers()).find(({ Service }) => Service === service)?.State
      const breaking = start({
        command: [process.execPath, 'up/src/main.ts', 'break', what, '5m'],
        cwd: ROOT,
        env: environment,
      })
      try {
        await eventually(async () => expect(await state()).toBe('paused'), MINUTE_MS)
      } finally {
        breaking.child.kill('SIGINT')
      }
      expect(await breaking.ended).toMatchObject({ code: 130 })
      expect(breaking.out()).toContain('healed')
      expect(await state()).toBe('running')
      const sku = `broken-${what}`
      await eventually(
        async () =>
          expect(
            await call(`${http}/create_item`, {
              json: { ...SEED_ITEM, sku },
              headers: { Prefer: 'wait=5', 'Idempotency-Key': JSON.stringify(sku) },
            }),
          ).toMatchObject({ status: 201 }),
        MINUTE_MS,
      )
      await call(`${http}/stock_management`, { json: { sku }, headers: { Prefer: 'wait=5' } })
    },
    3 * MINUTE_MS,
  )
})

const healthLog = z.object({
  State: z.object({ Health: z.object({ Log: z.array(z.object({ ExitCode: z.number() })) }) }),
})

const hardened = z.object({
  Config: z.object({ User: z.string(), Env: z.array(z.string()) }),
  HostConfig: z.object({
    ReadonlyRootfs: z.boolean(),
    CapDrop: z.array(z.string()),
    CapAdd: z.array(z.string()).nullable(),
    SecurityOpt: z.array(z.string()),
    Memory: z.number(),
    Privileged: z.boolean(),
    PortBindings: z.record(z.string(), z.array(z.object({ HostIp: z.string(), HostPort: z.string() }))).nullable(),
  }),
})

describe('every container', () => {
  it.each([...SERVICES, 'rabbitmq', 'mysql', ...ONE_SHOT])(
    '%s does not run as root, and has no capability and no secret in its environment',
    async (service) => {
      const { Config, HostConfig } = hardened.parse(await inspect(service))
      expect(Config.User).not.toMatch(/^(|0|root)(:|$)/)
      expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ['ALL'], CapAdd: null, Privileged: false })
      expect(HostConfig.SecurityOpt).toContain('no-new-privileges:true')
      expect(HostConfig.Memory).toBeGreaterThan(0)
      // Passwords come from files, because anyone with access to the engine can read an environment.
      expect(Config.Env.filter((each) => /PASSWORD=|SECRET=/.test(each))).toEqual([])
    },
  )

  it.each([...SERVICES, 'rabbitmq', 'mysql'])(
    'runs the first process of %s as a user other than root',
    async (service) => {
      expect(await execIn(service, 'sh', '-c', "awk '/^Uid/ {print $2}' /proc/1/status")).not.toBe('0')
    },
  )

  it('publishes no port, except those of the API and the management UI on loopback', async () => {
    const published: string[] = []
    for (const { Service } of await containers()) {
      const { HostConfig } = hardened.parse(await inspect(Service))
      for (const [port, bindings] of Object.entries(HostConfig.PortBindings ?? {}))
        for (const { HostIp } of bindings) published.push(`${Service} ${port} on ${HostIp}`)
    }
    expect(published.sort()).toEqual(['producer 5000/tcp on 127.0.0.1', 'rabbitmq 15672/tcp on 127.0.0.1'])
  })

  it.each(['mysql', 'consumer_two'])('%s is only on internal networks', async (service) => {
    const parsed = z.object({ NetworkSettings: z.object({ Networks: z.record(z.string(), z.unknown()) }) })
    for (const name of Object.keys(parsed.parse(await inspect(service)).NetworkSettings.Networks))
      expect(await docker('network', 'inspect', '--format', '{{.Internal}}', name)).toBe('true')
  })

  it.each(SERVICES)('%s has only its own secrets, and cannot change them', async (service) => {
    const files = (await execIn(service, 'ls', '/run/accounts')).split('\n')
    const hasDatabase = withTables.some(({ name }) => name === service)
    expect(files.sort()).toEqual(hasDatabase ? ['mysql-password', 'rabbitmq-password'] : ['rabbitmq-password'])
    const written = execIn(service, 'sh', '-c', 'echo x >/run/accounts/rabbitmq-password')
    await expect(written).rejects.toThrow(/Read-only file system|Permission denied/)
  })
})

describe('the broker', () => {
  it('uses the generated Erlang cookie, and refuses connections from other containers to its Erlang ports', async () => {
    await execIn('rabbitmq', 'cmp', '/run/accounts/erlang-cookie', '/var/lib/rabbitmq/.erlang.cookie')
    const probe = `import { connect } from 'node:net'
      for (const port of [4369, 25672, 5672]) {
        const socket = connect(port, 'rabbitmq')
        socket.on('connect', () => { console.log(port, 'open'); socket.destroy() }).on('error', ({ code }) => console.log(port, code))
      }`
    const results = (await runIn('consumer_one', probe)).trim().split('\n').sort()
    expect(results).toEqual(['25672 ECONNREFUSED', '4369 ECONNREFUSED', '5672 open'])
  })

  it('has exactly the queues, policies, users and permissions in the definitions', async () => {
    const file = definitions.parse(JSON.parse(await execIn('rabbitmq', 'cat', '/run/accounts/definitions.json')))
    await rabbitmqctl('export_definitions', '/var/lib/rabbitmq/exported.json')
    const broker = definitions.parse(JSON.parse(await execIn('rabbitmq', 'cat', '/var/lib/rabbitmq/exported.json')))
    const sorted = <T>(list: T[]) => list.map((each) => JSON.stringify(each)).sort()
    expect(sorted(broker.users)).toEqual(sorted(file.users))
    expect(sorted(broker.permissions)).toEqual(sorted(file.permissions))
    expect(sorted(broker.policies)).toEqual(sorted(file.policies))
    expect(sorted(broker.queues)).toEqual(sorted(file.queues))
  })

  it('has quorum queues with their policy applied', async () => {
    const lines = (await rabbitmqctl('list_queues', '--no-table-headers', 'name', 'type', 'policy')).split('\n')
    const queues = ['healthcheck', 'create_item', 'stock_management', 'order_processing']
    for (const queue of queues) expect(lines).toContain(`${queue}\tquorum\t${queue}-quorum`)
    expect(lines.filter((line) => !/\tquorum\b/.test(line))).toEqual([])
  })

  it('accepts the queue declarations of the Python suite: durable, without arguments', async () => {
    for (const queue of Object.keys(queues)) {
      const answer = await fetch(`${management}/api/queues/%2F/${queue}`, {
        method: 'PUT',
        headers: { authorization: await asOperator(), 'content-type': 'application/json' },
        body: JSON.stringify({ durable: true, auto_delete: false, arguments: {} }),
      })
      expect([queue, answer.status]).toEqual([queue, 204])
    }
  })

  it('lets the operator, but neither consumer_two nor guest, log in to the management UI', async () => {
    const ask = async (authorization: string) =>
      (await fetch(`${management}/api/overview`, { headers: { authorization } })).status
    expect(await ask(await asOperator())).toBe(200)
    const password = await execIn('consumer_two', 'cat', '/run/accounts/rabbitmq-password')
    expect(await ask(basic('consumer_two', password))).toBe(401)
    expect(await ask(basic('guest', 'guest'))).toBe(401)
  })

  it('lets the user monitoring read the queue length, which KEDA needs, but not read or delete messages', async () => {
    const password = await execIn('rabbitmq', 'cat', '/run/accounts/monitoring-password')
    const ask = async (path: string, method: string, body?: object) =>
      await fetch(`${management}/api/queues/%2F/create_item${path}`, {
        method,
        headers: { authorization: basic('monitoring', password), 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    const reported = await ask('', 'GET')
    expect(reported.status).toBe(200)
    expect(await reported.json()).toMatchObject({ name: 'create_item', messages: expect.any(Number) })
    expect((await ask('/contents', 'DELETE')).status).toBe(401)
    const one = { count: 1, ackmode: 'ack_requeue_true', encoding: 'auto' }
    expect((await ask('/get', 'POST', one)).status).toBe(401)
  })
})

const named = z.looseObject({ name: z.string() })
const definitions = z.object({
  users: z.array(z.object({ name: z.string(), tags: z.array(z.string()), password_hash: z.string() })),
  permissions: z.array(z.looseObject({ user: z.string() }).transform(sortedMembers)),
  policies: z.array(
    named.transform(({ definition, ...rest }) =>
      sortedMembers({ ...rest, definition: sortedMembers(z.looseObject({}).parse(definition)) }),
    ),
  ),
  queues: z.array(
    named.transform(({ vhost, name, durable, auto_delete, arguments: its }) => ({
      vhost,
      name,
      durable,
      auto_delete,
      its,
    })),
  ),
})
function sortedMembers(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))
}

const ownQueues = (service: string) => services.find(({ name }) => name === service)?.consumes ?? []
const attempted = z.object({ tried: z.array(z.string()), refused: z.array(z.string()) })

describe('least privilege in RabbitMQ', () => {
  it.each(SERVICES)(
    '%s may get and purge the queues that it reads, and nothing else that is tried',
    async (service) => {
      const names = JSON.stringify(Object.keys(queues))
      const script = readFileSync(join(import.meta.dirname, 'amqp-attempts.mjs'), 'utf8').replaceAll(
        'QUEUE_NAMES',
        names,
      )
      const { tried, refused } = attempted.parse(JSON.parse(await runIn(service, script)))
      expect(tried).toHaveLength(Object.keys(queues).length * 6 + 4)
      // A consumer may read its own queues. The producer may read dead letters, because operators list and redrive them with it.
      const own = ownQueues(service)
      const mayRead = own.length === 0 ? Object.keys(queues).map((queue) => `${queue}.dead-letter`) : own
      const allowed = mayRead.flatMap((queue) => [`get ${queue}`, `purge ${queue}`])
      expect(tried.filter((what) => !refused.includes(what)).sort()).toEqual(allowed.sort())
    },
  )
})

const WRITE_ITEM = "INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('x', 'x', 'x', 1, 1)"
const WRITE_INBOX =
  "INSERT INTO inbox (queue, message_id, fingerprint, outcome) VALUES ('x', 'x', REPEAT('x', 43), 'x')"
const STATEMENTS = {
  'read items': 'SELECT COUNT(*) FROM inventory',
  'insert an item': WRITE_ITEM,
  'change an item': "UPDATE inventory SET quantity = 2 WHERE sku = 'x'",
  'delete an item': "DELETE FROM inventory WHERE sku = 'x'",
  'read the inbox': 'SELECT COUNT(*) FROM inbox',
  'write the inbox': WRITE_INBOX,
  'change the inbox': "UPDATE inbox SET outcome = 'y' WHERE queue = 'x'",
  'empty the inbox': "DELETE FROM inbox WHERE queue = 'x'",
  'make a table': 'CREATE TABLE of_its_own (id INT)',
  'drop a table': 'DROP TABLE inbox',
  'read other databases': 'SELECT user FROM mysql.user',
  'write files': "SELECT 1 INTO OUTFILE '/tmp/x'",
}
type Statement = keyof typeof STATEMENTS
const MAY: Record<string, Statement[]> = {
  consumer_two: ['read items', 'insert an item', 'read the inbox', 'write the inbox', 'empty the inbox'],
  consumer_three: [
    'read items',
    'change an item',
    'delete an item',
    'read the inbox',
    'write the inbox',
    'empty the inbox',
  ],
  consumer_four: ['read items', 'read the inbox'],
}

describe('least privilege in MySQL', () => {
  it.each(Object.keys(MAY))(
    '%s may run only the statements that it needs',
    async (service) => {
      const password = await execIn(service, 'cat', '/run/accounts/mysql-password')
      const refused: string[] = []
      for (const [what, statement] of Object.entries(STATEMENTS)) {
        const attempt = execIn(
          'mysql',
          'env',
          `MYSQL_PWD=${password}`,
          'mysql',
          `--user=${service}`,
          'ims',
          '--execute',
          `BEGIN; ${statement}; ROLLBACK`,
        )
        const logged = await attempt.then(
          () => '',
          (error) => String(error),
        )
        expect([what, logged]).toEqual([what, expect.stringMatching(/^$|ERROR (1142|1044|1045|1227) .*denied/s)])
        if (logged !== '') refused.push(what)
      }
      expect(refused.sort()).toEqual(
        Object.keys(STATEMENTS)
          .filter((what) => !MAY[service]?.some((may) => may === what))
          .sort(),
      )
    },
    MINUTE_MS,
  )

  it('only the expected users exist, and root has no remote login', async () => {
    const users = await sql(
      "SELECT CONCAT(user, '@', host) FROM mysql.user WHERE user NOT LIKE 'mysql.%' ORDER BY user",
    )
    expect(users.split('\n')).toEqual([
      'backup@%',
      'consumer_four@%',
      'consumer_three@%',
      'consumer_two@%',
      'migrate@%',
      'root@localhost',
    ])
  })
})

describe('wrong secrets', () => {
  const run = (service: string, ...variables: string[]) =>
    ran(
      'docker',
      'compose',
      'run',
      '--rm',
      '--no-deps',
      ...variables.flatMap((each) => ['--env', each]),
      '--entrypoint',
      'timeout',
      service,
      '6',
      'node',
      `${service}/src/main.ts`,
    )

  it.each([
    [
      'a wrong RabbitMQ password',
      ['RABBITMQ_PASSWORD_FILE=', 'RABBITMQ_PASSWORD=not-the-one'],
      /the broker closed the connection: 403 ACCESS.REFUSED/,
    ],
    [
      'a wrong MySQL password',
      ['MYSQL_PASSWORD_FILE=', 'MYSQL_PASSWORD=not-the-one'],
      /Access denied for user 'consumer_two'/,
    ],
    [
      'a secret file that does not exist',
      ['MYSQL_PASSWORD_FILE=/run/accounts/nothing'],
      /MYSQL_PASSWORD_FILE: cannot read \/run\/accounts\/nothing: ENOENT/,
    ],
    [
      'a secret that is set twice',
      ['MYSQL_PASSWORD=not-the-one'],
      /MYSQL_PASSWORD: both MYSQL_PASSWORD and MYSQL_PASSWORD_FILE are set, choose one/,
    ],
  ])(
    'are reported with their cause, but without the secret: %s',
    async (_, variables, sentence) => {
      const { output } = await run('consumer_two', ...variables)
      expect(output).toMatch(sentence)
      expect(output).not.toContain('not-the-one')
    },
    MINUTE_MS,
  )
})

describe('docker compose', () => {
  it(
    'scales a consumer to three replicas and back to one',
    async () => {
      await up('--scale', 'consumer_two=3')
      const three = (await containers()).filter(({ Service }) => Service === 'consumer_two')
      expect(three).toHaveLength(3)
      expect(await rabbitmqctl('list_queues', '--no-table-headers', 'name', 'consumers')).toContain('create_item\t3')
      for (let n = 0; n < 30; n += 1) await call(`${http}/create_item`, { json: item(n) })
      await eventually(async () => expect(await sql('SELECT COUNT(*) FROM inventory')).toBe('30'))
      await up('--scale', 'consumer_two=1')
      expect((await containers()).filter(({ Service }) => Service === 'consumer_two')).toHaveLength(1)
      await sql('DELETE FROM inventory')
    },
    2 * MINUTE_MS,
  )

  it(
    'stops within 10 s, and starts again with the same data and passwords',
    async () => {
      await call(`${http}/create_item`, { json: SEED_ITEM, headers: { Prefer: 'wait=10' } })
      const password = await execIn('consumer_two', 'cat', '/run/accounts/mysql-password')
      const began = performance.now()
      await compose('down')
      expect(performance.now() - began).toBeLessThan(10_000)
      await up()
      expect(await call(`${http}/order_processing`)).toMatchObject({ status: 200, body: [SEED_ITEM] })
      expect(await execIn('consumer_two', 'cat', '/run/accounts/mysql-password')).toBe(password)
      expect(await compose('logs', 'accounts')).toContain('accounts: nothing to create')
    },
    3 * MINUTE_MS,
  )

  it(
    'generates new passwords after the old ones are deleted, and keeps the data',
    async () => {
      const before = await execIn('consumer_two', 'cat', '/run/accounts/mysql-password')
      await compose('down')
      for (const owner of ['consumer-two', 'mysql', 'rabbitmq', 'producer', 'migrate'])
        await docker('volume', 'rm', `ims-test_accounts-${owner}`)
      await up()
      expect(await call(`${http}/order_processing`)).toMatchObject({ status: 200, body: [SEED_ITEM] })
      expect(await execIn('consumer_two', 'cat', '/run/accounts/mysql-password')).not.toBe(before)
    },
    3 * MINUTE_MS,
  )
})
