// The doctor on its own broker and database: each check finds its fault, and reports what to do.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeAccounts } from '@ims/accounts/to-directories'
import {
  consumerEnvironment,
  createItem,
  movements,
  openBroker,
  rabbitmqEnvironment,
  stockAdjustment,
} from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { migrate, mysqlEnvironment } from '@ims/repository'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, freePorts, hasServerPrograms, type Servers, serversEnvironment, startServers } from 'testkit'
import { serviceAccounts } from 'testkit/servers/definitions'
import { z } from 'zod'

const PROGRAM = join(import.meta.dirname, '..', 'src', 'doctor.ts')
const report = z.object({
  findings: z.array(z.object({ check: z.string(), state: z.string(), found: z.string(), todo: z.string().optional() })),
})
type Finding = z.output<typeof report>['findings'][number]
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const suite = hasServerPrograms() ? describe : describe.skip

let root: string
let servers: Servers
let management: string

const accounts = () => join(root, 'accounts')
const ctl = (...args: string[]) => servers.rabbitmq.ctl(...args)
const sql = (statement: string) => servers.mysql.sql(`USE ims; ${statement}`)

async function doctor(
  args: readonly string[] = ['--accounts', accounts(), '--management', management],
  environment: Record<string, string> = {},
): Promise<{ code: number; findings: Finding[] }> {
  const env = { ...process.env, ...serversEnvironment(servers), ...environment }
  const run = promisify(execFile)(process.execPath, [PROGRAM, '--json', ...args], { env })
  const { stdout } = await run.catch((error: { stdout: string }) => error)
  return { code: run.child.exitCode ?? -1, findings: report.parse(JSON.parse(stdout)).findings }
}

async function found(check: RegExp, environment?: Record<string, string>): Promise<Finding | undefined> {
  const { findings } = await doctor(undefined, environment)
  return findings.find((finding) => check.test(finding.check))
}

/** Causes a fault, expects the doctor to find it, and repairs it. */
async function finds(
  check: RegExp,
  message: RegExp,
  { broken, repaired }: { broken: () => Promise<unknown>; repaired: () => Promise<unknown> },
  environment: Record<string, string> = {},
): Promise<void> {
  await broken()
  try {
    await eventually(async () => {
      expect(await found(check, environment)).toMatchObject({
        state: 'fault',
        found: expect.stringMatching(message),
        todo: expect.any(String),
      })
    })
  } finally {
    await repaired()
  }
}

const importAccounts = async () => {
  const { rabbitmq } = servers
  const definitions = readFileSync(join(accounts(), 'rabbitmq', 'definitions.json'), 'utf8')
  await rabbitmq.importDefinitions(serviceAccounts(definitions, rabbitmq.vhost, rabbitmq.version))
}
const grantAccounts = () => servers.mysql.sql(readFileSync(join(accounts(), 'mysql', 'accounts.sql'), 'utf8'))

/** Starts the management plugin, which is installed but not enabled. */
async function startManagement(port: number): Promise<void> {
  await ctl(
    'eval',
    `Plugins = filename:join([code:lib_dir(rabbit), "..", "*", "ebin"]),
     [code:add_patha(Folder) || Folder <- filelib:wildcard(Plugins)],
     application:load(rabbitmq_management),
     application:set_env(rabbit, collect_statistics, coarse),
     application:set_env(rabbitmq_management, tcp_config, [{port, ${port}}, {ip, "127.0.0.1"}]),
     {ok, _} = application:ensure_all_started(rabbitmq_management).`,
  )
  const password = readFileSync(join(accounts(), 'rabbitmq', 'monitoring-password'), 'utf8')
  await ctl('add_user', 'monitoring', password)
  await ctl('set_user_tags', 'monitoring', 'monitoring')
  await ctl('set_permissions', 'monitoring', '^$', '^$', '^$')
}

beforeAll(async () => {
  if (!hasServerPrograms()) return
  root = mkdtempSync(join(tmpdir(), 'ims-doctor-'))
  servers = await startServers({ directory: join(root, 'servers'), mode: 'local', onProgress: () => {} })
  writeAccounts(accounts())
  const [port = 0] = await freePorts(1)
  // Started before the queues are created, because the plugin collects no statistics of existing queues.
  await startManagement(port)
  await Promise.all([importAccounts(), grantAccounts()])
  await migrate(mysqlEnvironment.parse(serversEnvironment(servers)), quiet)
  management = `http://127.0.0.1:${port}`
})
afterAll(async () => {
  await servers?.close({ deleteData: true })
  if (root !== undefined) rmSync(root, { recursive: true, force: true })
})

suite('the doctor', () => {
  it('finds only the faults of this setup: missing consumers, and the queue type on RabbitMQ 3', async () => {
    const { code, findings } = await doctor()
    expect(code).toBe(1)
    const faults = findings.filter(({ state }) => state === 'fault').map(({ check }) => check)
    expect(faults.filter((check) => !/^(consumers of|type of) /.test(check))).toEqual([])
    expect(faults).toContain('consumers of movements')
  })

  it('reports what it cannot check without other passwords and the management API', async () => {
    const password = (server: string) => readFileSync(join(accounts(), 'consumer_two', `${server}-password`), 'utf8')
    const { findings } = await doctor([], {
      RABBITMQ_USERNAME: 'consumer_two',
      RABBITMQ_PASSWORD: password('rabbitmq'),
      MYSQL_USER: 'consumer_two',
      MYSQL_PASSWORD: password('mysql'),
    })
    const stateOf = (check: string) => findings.find((finding) => finding.check === check)?.state
    expect(stateOf('RabbitMQ login of consumer_two')).toBe('fine')
    expect(stateOf('RabbitMQ login of producer')).toBe('unchecked')
    expect(stateOf('MySQL login of consumer_three')).toBe('unchecked')
    expect(stateOf('arguments of create_item')).toBe('unchecked')
    expect(stateOf('max_connections')).toBe('unchecked')
    expect(findings).toContainEqual({
      check: expect.stringContaining('RabbitMQ policies'),
      state: 'unchecked',
      found: 'no --management URL is given',
    })
  })

  it('finds a user that cannot log in to RabbitMQ', async () => {
    await finds(/^RabbitMQ login of consumer_one$/, /ACCESS.REFUSED/, {
      broken: () => ctl('change_password', 'consumer_one', 'another'),
      repaired: importAccounts,
    })
  })

  it('finds a user without the right to consume', async () => {
    await finds(/^right of consumer_one to consume healthcheck$/, /access to queue 'healthcheck'.* refused/, {
      broken: () => ctl('set_permissions', 'consumer_one', '^$', 'amq\\.default', '^$'),
      repaired: importAccounts,
    })
  })

  it('finds a user without the right to publish', async () => {
    await finds(/^right of producer to publish$/, /access to exchange .* refused/, {
      broken: () => ctl('set_permissions', 'producer', '.*', '^$', '.*'),
      repaired: importAccounts,
    })
  })

  it('finds a missing queue', async () => {
    await finds(/^queue movements$/, /does not exist/, {
      broken: () => ctl('delete_queue', 'movements'),
      repaired: importAccounts,
    })
  })

  it('finds a queue with different arguments, for which our declaration would fail with 406', async () => {
    const environments = [{}, { RABBITMQ_USERNAME: 'nobody' }]
    for (const environment of environments)
      await finds(
        /^arguments of movements$/,
        /x-max-length/,
        {
          broken: async () => {
            await ctl('delete_queue', 'movements')
            await askManagement('PUT', 'queues/%2F/movements', { durable: true, arguments: { 'x-max-length': 10 } })
          },
          repaired: async () => {
            await ctl('delete_queue', 'movements')
            await importAccounts()
          },
        },
        environment,
      )
  })

  it('finds dead letters', async () => {
    await finds(/^dead letters of create_item$/, /^1$/, {
      broken: () => publish('create_item.dead-letter'),
      repaired: () => ctl('purge_queue', 'create_item.dead-letter'),
    })
  })

  it('finds a memory alarm over AMQP, and the disk alarm of a node through the management API', async () => {
    await finds(/^RabbitMQ alarms$/, /memory/, {
      broken: () => ctl('set_vm_memory_high_watermark', '0.000001'),
      repaired: () => ctl('set_vm_memory_high_watermark', '0.6'),
    })
    await finds(/^RabbitMQ node /, /alarm: disk/, {
      broken: () => ctl('set_disk_free_limit', '1000000GB'),
      repaired: () => ctl('set_disk_free_limit', '50MB'),
    })
  })

  it('finds a missing policy', async () => {
    const [policy = ''] = (await ctl('list_policies')).split('\n').filter((line) => line.includes('create_item-dead'))
    const [, name = '', pattern = '', applyTo = '', definition = '', priority = ''] = policy.split('\t')
    await finds(/^policy of create_item$/, /dead-letter-exchange is not set/, {
      broken: () => ctl('clear_policy', name),
      repaired: () => ctl('set_policy', '--priority', priority, '--apply-to', applyTo, name, pattern, definition),
    })
  })

  it('finds a user that cannot log in to MySQL', async () => {
    await finds(/^MySQL login of consumer_two on /, /Access denied/, {
      broken: () => sql("ALTER USER consumer_two IDENTIFIED BY 'another'"),
      repaired: grantAccounts,
    })
  })

  it('finds a user without a right on a table', async () => {
    await finds(/^right of consumer_three to DELETE on inventory$/, /denied/, {
      broken: () => sql('REVOKE DELETE ON ims.inventory FROM consumer_three'),
      repaired: grantAccounts,
    })
  })

  it('finds a migration that has not run', async () => {
    await finds(/^schema$/, /CreateMovement\d+ has not run/, {
      broken: () =>
        sql("CREATE TABLE kept SELECT * FROM migrations; DELETE FROM migrations WHERE name LIKE 'CreateMovement%'"),
      repaired: () => sql('DELETE FROM migrations; INSERT INTO migrations SELECT * FROM kept; DROP TABLE kept'),
    })
  })

  it('finds an inbox whose old rows are not deleted', async () => {
    await finds(/^inbox$/, /oldest is 40 days old, but INBOX_RETENTION_DAYS is 30/, {
      broken: () =>
        sql(
          `INSERT INTO inbox (queue, message_id, fingerprint, outcome, applied_at)
           VALUES ('create_item', 'old', 'f', 'created', UTC_TIMESTAMP() - INTERVAL 40 DAY)`,
        ),
      repaired: () => sql('DELETE FROM inbox'),
    })
  })

  it('finds that most ids are used up', async () => {
    await finds(/^ids left$/, /^9\d % of the ids/, {
      broken: () => sql('ALTER TABLE inventory AUTO_INCREMENT = 2100000000'),
      repaired: () => sql('ALTER TABLE inventory AUTO_INCREMENT = 1'),
    })
  })

  it('finds a clock difference', async () => {
    const clock = join(root, 'clock.mjs')
    writeFileSync(clock, 'const now = Date.now; Date.now = () => now() - 60_000')
    const { findings } = await doctor(undefined, { NODE_OPTIONS: `--import=${clock}` })
    expect(findings).toContainEqual({
      check: 'clock',
      state: 'fault',
      found: expect.stringMatching(/differs from ours by \d{5} ms/),
      todo: expect.stringContaining('NTP'),
    })
  })

  it('counts consumers, and finds too few connections for the pools of all replicas', async () => {
    const config = rabbitmqEnvironment.parse(serversEnvironment(servers))
    const broker = await openBroker(config, quietService)
    try {
      const limits = consumerEnvironment.parse({})
      await broker.consume(createItem, async () => [], limits)
      await broker.consume(stockAdjustment, async () => [], limits)
      await broker.consume(movements, async () => [], limits)
      await finds(/^max_connections$/, /allows 20, and the suite opens at most 15/, {
        broken: () => sql('SET GLOBAL max_connections = 20'),
        repaired: () => sql('SET GLOBAL max_connections = 151'),
      })
      expect(await found(/^consumers of create_item$/)).toMatchObject({ state: 'fine', found: '1' })
    } finally {
      await broker.close()
    }
  })

  it('finds a read-only server', async () => {
    await finds(/^MySQL session$/, /read-only/, {
      broken: () => sql('SET GLOBAL read_only = 1'),
      repaired: () => sql('SET GLOBAL read_only = 0'),
    })
  })

  it('rejects unknown arguments', async () => {
    const run = promisify(execFile)(process.execPath, [PROGRAM, '--jsno'])
    await expect(run).rejects.toMatchObject({ code: 64, stderr: expect.stringContaining('usage: doctor') })
  })
})

async function askManagement(method: string, path: string, body: object): Promise<void> {
  const { username, password } = servers.rabbitmq
  const response = await fetch(new URL(`/api/${path}`, management), {
    method,
    headers: { authorization: `Basic ${btoa(`${username}:${password}`)}` },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path} responded with ${response.status}: ${await response.text()}`)
}

const publish = (queue: string) =>
  askManagement('POST', 'exchanges/%2F/amq.default/publish', {
    properties: {},
    routing_key: queue,
    payload: '{}',
    payload_encoding: 'string',
  })
