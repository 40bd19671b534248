// What every scenario stands on: the migrated database, a channel to fill and empty queues, and the services' environment.
import amqplib, { type ConfirmChannel } from 'amqplib'
import { type Servers, serversEnvironment } from 'local'
import mysql, { type Pool } from 'mysql2/promise'
import { v7 as uuidv7 } from 'uuid'
import { start } from './processes.ts'

export interface Stage {
  readonly env: Record<string, string>
  readonly channel: ConfirmChannel
  readonly pool: Pool
  close(): Promise<void>
}

/** Migrates the database and connects to both servers. */
export async function prepare({ rabbitmq, mysql: db }: Servers): Promise<Stage> {
  const amqpUrl = `amqp://${rabbitmq.username}:${rabbitmq.password}@${rabbitmq.host}:${rabbitmq.port}/${encodeURIComponent(rabbitmq.vhost)}`
  const mysqlUrl = `mysql://${db.user}:${db.password}@${db.host}:${db.port}/${db.database}`
  const env = {
    ...serversEnvironment({ rabbitmq, mysql: db }),
    BENCH_AMQP_URL: amqpUrl,
    BENCH_MYSQL_URL: mysqlUrl,
  }
  const migration = start('local/src/main.ts', env, ['migrate'])
  await migration.line().catch(() => '')
  await migration.end()
  const connection = await amqplib.connect(amqpUrl)
  const channel = await connection.createConfirmChannel()
  const pool = mysql.createPool(mysqlUrl)
  return {
    env,
    channel,
    pool,
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
  await channel.assertQueue('create_item', { durable: true })
  await channel.purgeQueue('create_item')
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
