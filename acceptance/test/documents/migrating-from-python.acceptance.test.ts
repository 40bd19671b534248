// Runs the commands of docs/migrating-from-python.md that rehearse the migration, replace the producer and migrate the table.
// The table is as Python creates it. The test's own consumers take the place of the Python consumers.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, freePorts, type Started, start } from 'testkit'
import { findProgram } from '../find-program.ts'
import { type Stack, startStack } from '../stack.ts'
import { codeBlocks, ROOT } from './documents.ts'

const shell = promisify(execFile)
const page = readFileSync(join(ROOT, 'docs/migrating-from-python.md'), 'utf8')
const MINUTE_MS = 60_000
const OLD = { sku: 'OLD', name: 'Crème brûlée', label: 'dessert', price: 19.99, quantity: 3 }
const TABLE =
  'CREATE TABLE inventory (id INTEGER NOT NULL AUTO_INCREMENT, sku VARCHAR(20), name VARCHAR(100), label VARCHAR(50), price FLOAT, quantity INTEGER, PRIMARY KEY (id), UNIQUE (sku)) DEFAULT CHARSET=latin1'

const missing = findProgram('mysqldump', 'mariadb-client')
const itWithDump = typeof missing === 'string' ? it.skip : it
const why = typeof missing === 'string' ? ` (skipped: ${missing})` : ''

describe('docs/migrating-from-python.md', () => {
  let stack: Stack
  let folder: string
  let environment: Record<string, string | undefined>
  const running: Started[] = []

  beforeAll(async () => {
    stack = await startStack('migrating', { services: [], migrate: false })
    await stack.pool.query(TABLE)
    const { sku, name, label, price, quantity } = OLD
    const columns = 'INSERT INTO inventory (sku, name, label, price, quantity) VALUES (?, ?, ?, ?, ?)'
    await stack.pool.execute(columns, [sku, name, label, price, quantity])
    for (const queue of ['healthcheck', 'create_item', 'stock_management', 'order_processing']) {
      await stack.channel.assertQueue(queue, { durable: true })
      await stack.channel.consume(queue, () => {}, { consumerTag: queue, noAck: true })
    }
    // The MySQL programs read the address and the account from this file.
    folder = mkdtempSync(join(tmpdir(), 'ims-migrating-'))
    const { host, port, user, password } = stack.space.mysql
    writeFileSync(
      join(folder, '.my.cnf'),
      `[client]\nhost=${host}\nport=${port}\nuser=${user}\npassword=${password}\n`,
      {
        mode: 0o600,
      },
    )
    const [http = 0, producer = 0, four = 0] = await freePorts(3)
    const PATH = `${dirname(process.execPath)}:${process.env.PATH}`
    environment = {
      ...stack.env,
      PATH,
      HOME: folder,
      PORT: String(http),
      PRODUCER: String(producer),
      FOUR: String(four),
    }
  }, 3 * MINUTE_MS)
  afterAll(async () => {
    for (const { child, ended } of running) {
      child.kill('SIGTERM')
      await ended
    }
    await stack.pool.query(`DROP DATABASE IF EXISTS ${stack.space.mysql.database}_rehearsal`)
    rmSync(folder, { recursive: true, force: true })
    await stack.stop()
  }, 3 * MINUTE_MS)

  const block = (heading: string, position = 0) =>
    codeBlocks(page.slice(page.indexOf(`\n## ${heading}`)), 'sh')[position] ?? ''

  /** Runs a block line by line and returns the output of each command. Services stay in the background, and curl is retried. */
  async function run(text: string): Promise<string[]> {
    const { database } = stack.space.mysql
    const printed: string[] = []
    for (const line of text.trim().split('\n')) {
      const here = line
        .replaceAll('ims-before.sql', `${folder}/ims-before.sql`)
        .replaceAll('ims_rehearsal', `${database}_rehearsal`)
        .replaceAll(' ims ', ` ${database} `)
        .replace('127.0.0.1:5000', `127.0.0.1:${environment.PORT}`)
        .replace('127.0.0.1:9090', `127.0.0.1:${environment.PRODUCER}`)
        .replace('127.0.0.1:9094', `127.0.0.1:${environment.FOUR}`)
      const options = { cwd: ROOT, env: environment }
      if (here.includes('/src/main.ts')) {
        const ADMIN_PORT = here.includes('producer/') ? environment.PRODUCER : environment.FOUR
        const command = ['bash', '-c', `exec env ${here}`] as const
        running.push(start({ command, cwd: ROOT, env: { ...environment, ADMIN_PORT }, onLine: () => {} }))
      } else if (here.startsWith('curl'))
        await eventually(async () => {
          const strict = 'curl() { command curl --fail --silent --show-error "$@"; }'
          printed.push((await shell('bash', ['-c', `${strict}\n${here}`], options)).stdout)
        })
      else printed.push((await shell('bash', ['-euc', here], options)).stdout)
    }
    return printed
  }
  const priceTypeIn = async (database: string) => {
    const [columns] = await stack.pool.query(`SHOW COLUMNS FROM ${database}.inventory LIKE 'price'`)
    return columns
  }

  itWithDump(
    `shows how to rehearse the migration on a copy, without changing the table${why}`,
    async () => {
      const { database } = stack.space.mysql
      await run(block('2. Prepare', 1))
      expect(await priceTypeIn(`${database}_rehearsal`)).toMatchObject([{ Type: 'decimal(15,4)' }])
      expect(await priceTypeIn(database)).toMatchObject([{ Type: 'float' }])
    },
    2 * MINUTE_MS,
  )

  it(
    'shows how to start the producer while other consumers use the queues',
    async () => {
      const [healthcheck] = await run(block('3. Replace the producer'))
      expect(healthcheck).toBe('{"message":"Health check message sent"}')
    },
    2 * MINUTE_MS,
  )

  it(
    'shows how to migrate the table and start consumer_four, which lists the items of the old table',
    async () => {
      await stack.channel.cancel('order_processing')
      const [, list = ''] = await run(block('4. Migrate the table'))
      expect(JSON.parse(list)).toEqual([OLD])
      expect(await priceTypeIn(stack.space.mysql.database)).toMatchObject([{ Type: 'decimal(15,4)' }])
    },
    2 * MINUTE_MS,
  )
})
