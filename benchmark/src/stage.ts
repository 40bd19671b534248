// What every scenario stands on: a tree of the sources, with a migrated database and a vhost of its own, and a channel to fill its queues.
import { existsSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import amqplib, { type ConfirmChannel } from 'amqplib'
import { leanNode, type Servers, serversEnvironment, testSpace } from 'local'
import mysql, { type Pool } from 'mysql2/promise'
import { v7 as uuidv7 } from 'uuid'
import type { Processes, Running } from './processes.ts'

export interface Stage {
  /** The column of its figures. */
  readonly name: string
  readonly processes: Processes
  readonly env: Readonly<Record<string, string>>
  readonly channel: ConfirmChannel
  readonly pool: Pool
  /** Starts one of the suite's services. */
  service(name: string, env?: Readonly<Record<string, string>>): Running
  close(): Promise<void>
}

/** The directory of another tree, ready to run. Throws, saying what to do first, if it is not. */
export function treeAt(directory: string): string {
  const root = realpathSync(resolve(directory))
  const messaging = join(root, 'messaging')
  if (!existsSync(messaging)) throw new Error(`${root} is no clone of this project`)
  const linked = join(root, 'node_modules', '@ims', 'messaging')
  // Links that lead into another tree would measure that one.
  if (!existsSync(linked) || realpathSync(linked) !== messaging)
    throw new Error(`${root} has no node_modules of its own: run npm ci there first`)
  return root
}

/** Migrates a database for the sources in `root`, and connects to both servers. */
export async function prepare(servers: Servers, processes: Processes, name: string, root: string): Promise<Stage> {
  const { rabbitmq, mysql: db } = await testSpace(servers, `bench ${name}`)
  const amqpUrl = `amqp://${rabbitmq.username}:${rabbitmq.password}@${rabbitmq.host}:${rabbitmq.port}/${encodeURIComponent(rabbitmq.vhost)}`
  const mysqlUrl = `mysql://${db.user}:${db.password}@${db.host}:${db.port}/${db.database}`
  const env = {
    ...serversEnvironment({ rabbitmq, mysql: db }),
    BENCH_AMQP_URL: amqpUrl,
    BENCH_MYSQL_URL: mysqlUrl,
  }
  await processes.run({ file: 'local/src/main.ts', root, env, args: ['migrate'] })
  const connection = await amqplib.connect(amqpUrl)
  // The calls that need it reject.
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  const pool = mysql.createPool(mysqlUrl)
  return {
    name,
    processes,
    env,
    channel,
    pool,
    service: (service, more = {}) =>
      processes.start({
        file: `${service}/src/main.ts`,
        root,
        // Any free port: on a fixed one there may be somebody else.
        env: { ...leanNode, ...env, ADMIN_PORT: '0', ...more },
      }),
    close: async () => {
      await pool.end()
      await connection.close()
    },
  }
}

export const item = (n: number) => ({
  sku: `SKU-${n}`,
  name: `Item number ${n}`,
  label: 'juice',
  price: 25.5,
  quantity: n % 100,
})

/** Empties the queue and puts `messages` create messages on it, as the producer would. */
export async function fillCreateItem({ channel }: Stage, messages: number): Promise<void> {
  for (const queue of ['create_item', 'create_item.dead-letter']) {
    await channel.assertQueue(queue, { durable: true })
    await channel.purgeQueue(queue)
  }
  for (let n = 0; n < messages; n += 1) {
    const properties = { persistent: true, messageId: uuidv7(), contentType: 'application/json' }
    channel.sendToQueue('create_item', Buffer.from(JSON.stringify(item(n))), properties)
    if (n % 1_000 === 999) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
}

/** Empties the tables and puts `items` items in. */
export async function fillInventory({ pool }: Stage, items: number): Promise<void> {
  await pool.query('TRUNCATE TABLE inventory')
  await pool.query('TRUNCATE TABLE inbox')
  if (items === 0) return
  const rows = Array.from({ length: items }, (_, n) => Object.values(item(n)))
  await pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
}
