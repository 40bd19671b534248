// Tests the users that `npm run up` creates on local servers. Each service has its own user, with only the privileges that it needs.
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import amqplib, { type Channel } from 'amqplib'
import mysql from 'mysql2/promise'
import { hasServerPrograms, ownSuite } from 'testkit'
import { z } from 'zod'
import { REHEARSALS } from '../../../repository/src/rehearsal.ts'
import { call, SEED_ITEM } from '../http.ts'
import { ROOT } from '../stack.ts'

const run = hasServerPrograms() ? describe : describe.skip
const STARTED_WITHIN_MS = 180_000

run(
  `the users of the local suite${hasServerPrograms() ? '' : ' (skipped: RabbitMQ and MySQL are not installed here)'}`,
  () => {
    const directory = join(tmpdir(), `ims-least-${process.pid}`)
    // Created in a hook. When all tests are skipped, no hook runs, so `afterAll` would not delete a directory created here.
    beforeAll(() => void mkdirSync(directory, { mode: 0o700 }))
    let environment: NodeJS.ProcessEnv = {}
    let http = ''
    beforeAll(async () => {
      environment = await ownSuite(directory)
      http = `http://127.0.0.1:${environment.PORT}`
    })
    const ims = async (...args: string[]): Promise<string> => {
      const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'up/src/main.ts'), ...args], {
        env: environment,
      })
      return stdout
    }
    let status: z.output<typeof statusSchema>

    beforeAll(async () => {
      await ims('up', '--detach')
      status = statusSchema.parse(JSON.parse(await ims('status', '--json')))
    }, STARTED_WITHIN_MS)
    afterAll(async () => {
      await ims('down', '--volumes')
      rmSync(directory, { recursive: true })
    }, STARTED_WITHIN_MS)

    const secret = (owner: string, file: string) =>
      readFileSync(join(directory, 'servers', 'accounts', owner, file), 'utf8')

    /** Runs `attempt` on its own channel. Resolves with the error code of the broker, or with `done`. */
    async function asBrokerUser(name: string, attempt: (channel: Channel) => Promise<unknown>): Promise<string> {
      const { host, port } = status.rabbitmq
      const password = encodeURIComponent(secret(name, 'rabbitmq-password'))
      const connection = await amqplib.connect(`amqp://${name}:${password}@${host}:${port}/`)
      try {
        const channel = await connection.createChannel()
        channel.on('error', () => {})
        await attempt(channel)
        return 'done'
      } catch (error) {
        return /ACCESS_REFUSED|NOT_FOUND|PRECONDITION_FAILED/.exec(String(error))?.[0] ?? String(error)
      } finally {
        await connection.close()
      }
    }

    /** Runs a statement. Resolves with the error code of MySQL, or with `done`. */
    async function asDatabaseUser(name: string, statement: string): Promise<string> {
      const { host, port, database } = status.mysql
      const connection = await mysql.createConnection({
        ...{ host, port, database, user: name, password: secret(name, 'mysql-password') },
      })
      try {
        await connection.query(statement)
        return 'done'
      } catch (error) {
        return z.object({ code: z.string() }).parse(error).code
      } finally {
        await connection.end()
      }
    }

    it('have the privileges that the calls of the original suite need', async () => {
      const wait = { headers: { Prefer: 'wait=30' } }
      expect((await call(`${http}/healthcheck`)).status).toBe(200)
      expect((await call(`${http}/create_item`, { json: SEED_ITEM, ...wait })).status).toBe(201)
      expect((await call(`${http}/order_processing`)).body).toEqual([SEED_ITEM])
      expect((await call(`${http}/create_item`, { json: SEED_ITEM, ...wait })).status).toBe(409)
      expect((await call(`${http}/stock_management`, { json: { sku: SEED_ITEM.sku }, ...wait })).status).toBe(200)
    })

    // A consumer that has stopped consuming because of the database runs these statements to check whether it can resume.
    it.each([
      ['consumer_two', 'create'],
      ['consumer_three', 'delete'],
      ['consumer_three', 'adjust'],
      ['consumer_four', 'read'],
    ] as const)('include %s, which may run the statements of the operation %s', async (name, operation) => {
      for (const statement of REHEARSALS[operation]) expect(await asDatabaseUser(name, statement)).toBe('done')
    })

    it.each([
      ['producer', 'create_item'],
      ['consumer_one', 'create_item'],
      ['consumer_two', 'stock_management'],
      ['consumer_three', 'create_item'],
      ['consumer_four', 'create_item'],
      ['consumer_two', 'create_item.dead-letter'],
    ])('include %s, which may not read the queue %s', async (name, queue) => {
      expect(await asBrokerUser(name, (channel) => channel.get(queue))).toBe('ACCESS_REFUSED')
      expect(await asBrokerUser(name, (channel) => channel.consume(queue, () => {}))).toBe('ACCESS_REFUSED')
    })

    it.each(serviceNames)(
      'include %s, which may not create, delete or bind a queue, nor create an exchange',
      async (name) => {
        expect(await asBrokerUser(name, (channel) => channel.assertQueue('mine'))).toBe('ACCESS_REFUSED')
        expect(await asBrokerUser(name, (channel) => channel.deleteQueue('create_item'))).toBe('ACCESS_REFUSED')
        expect(await asBrokerUser(name, (channel) => channel.assertExchange('mine', 'fanout'))).toBe('ACCESS_REFUSED')
        expect(await asBrokerUser(name, (channel) => channel.bindQueue('create_item', 'amq.fanout', ''))).toBe(
          'ACCESS_REFUSED',
        )
        if (name !== 'consumer_two')
          expect(await asBrokerUser(name, (channel) => channel.purgeQueue('create_item'))).toBe('ACCESS_REFUSED')
      },
    )

    it.each([
      ['consumer_two', 'DELETE FROM inventory'],
      ['consumer_two', 'UPDATE inventory SET price = 0'],
      ['consumer_two', 'UPDATE inbox SET applied_at = 0'],
      ['consumer_two', 'DROP TABLE inventory'],
      ['consumer_three', "INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('x', 'x', 'x', 1, 1)"],
      ['consumer_three', 'ALTER TABLE inventory ADD COLUMN x INT'],
      ['consumer_four', "INSERT INTO inventory (sku, name, label, price, quantity) VALUES ('x', 'x', 'x', 1, 1)"],
      ['consumer_four', 'DELETE FROM inventory'],
      ['consumer_four', 'DELETE FROM inbox'],
      ['consumer_three', 'UPDATE movement SET delta = 0'],
      ['consumer_three', 'DELETE FROM movement'],
      ['consumer_two', 'CREATE TABLE ims.mine (id INT)'],
      ['consumer_three', 'SELECT * FROM mysql.user'],
      ['consumer_four', 'SELECT * FROM mysql.user'],
      ['migrate', 'SELECT * FROM mysql.user'],
      ['migrate', "CREATE USER 'mine'@'%'"],
    ])('include %s, which may not run: %s', async (name, statement) => {
      expect(await asDatabaseUser(name, statement)).toMatch(/^ER_(TABLE|DB|COLUMN|SPECIFIC)?_?ACCESS_DENIED/)
    })

    it('share no password, and have none in the environment or the arguments of their processes', async () => {
      const owners = [...serviceNames, 'migrate']
      const secrets = owners.flatMap((owner) =>
        readdirSync(join(directory, 'servers', 'accounts', owner)).map((file) => secret(owner, file)),
      )
      expect(secrets).toHaveLength(9)
      const passwords = [...secrets, status.rabbitmq.password, status.mysql.password]
      expect(new Set(passwords).size).toBe(passwords.length)
      expect(status.services).toHaveLength(5)
      for (const { pid } of status.services) {
        const shown = ['environ', 'cmdline'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8')).join('\0')
        expect(shown).toContain('_PASSWORD_FILE=')
        for (const password of passwords) expect(shown).not.toContain(password)
      }
    })

    it('do not include guest, nor a root without a password', async () => {
      const { rabbitmq, mysql: db } = status
      await expect(amqplib.connect(`amqp://guest:guest@${rabbitmq.host}:${rabbitmq.port}/`)).rejects.toThrow(
        /ACCESS.REFUSED/i,
      )
      const root = mysql.createConnection({ host: db.host, port: db.port, user: 'root', password: '' })
      await expect(root).rejects.toThrow(/Access denied|not allowed/)
    })
  },
)

const statusSchema = z.object({
  rabbitmq: z.object({ host: z.string(), port: z.int(), password: z.string() }),
  mysql: z.object({ host: z.string(), port: z.int(), password: z.string(), database: z.string() }),
  services: z.array(z.object({ pid: z.int() })),
})
