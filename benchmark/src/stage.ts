// The setup of a scenario: a source tree with its own vhost and migrated database, and a channel to fill its queues.
import { existsSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import amqplib, { type ConfirmChannel } from 'amqplib'
import mysql, { type Pool } from 'mysql2/promise'
import { leanNode, type Servers, serversEnvironment, testSpace } from 'testkit'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import type { Processes, Running } from './processes.ts'

export interface Stage {
  /** The name of its column in the result. */
  readonly name: string
  readonly processes: Processes
  readonly env: Readonly<Record<string, string>>
  readonly channel: ConfirmChannel
  readonly pool: Pool
  /** Starts one of the suite's services. */
  service(name: string, env?: Readonly<Record<string, string>>): Running
  /** The number of deadlocks on the database server so far. */
  deadlocks(): Promise<number>
  close(): Promise<void>
}

/** The real path of another source tree. Throws if it is not ready to run. */
export function treeAt(directory: string): string {
  const root = realpathSync(resolve(directory))
  const messaging = join(root, 'messaging')
  if (!existsSync(messaging)) throw new Error(`${root} is not a clone of this project`)
  const linked = join(root, 'node_modules', '@ims', 'messaging')
  // If the symlinks led to another tree, the benchmark would measure that one.
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
  await processes.run({ file: 'up/src/main.ts', root, env, args: ['migrate'] })
  const connection = await amqplib.connect(amqpUrl)
  // The event is ignored, because each call on a lost connection rejects.
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
        // Port 0 is any free port. A fixed one may be in use.
        env: { ...leanNode, ...env, ADMIN_PORT: '0', ...more },
      }),
    deadlocks: async () =>
      Number(
        await servers.mysql.sql("SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'"),
      ),
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

interface Message {
  readonly messageId: string
  readonly content: string
}

const create = (n: number): Message => ({ messageId: uuidv7(), content: JSON.stringify(item(n)) })

/** The kinds of bad messages and duplicates. Duplicates are derived from a recent good message, so that both are in one batch. */
export const BAD = {
  'repeat a sku': ({ content }: Message) => ({ messageId: uuidv7(), content }),
  'are sent twice': (before: Message) => before,
  'reuse an id': ({ messageId }: Message) => ({ messageId, content: JSON.stringify(item(-1)) }),
  'are not JSON': () => ({ messageId: uuidv7(), content: 'nonsense' }),
  'MySQL rejects': () => ({ messageId: uuidv7(), content: JSON.stringify({ ...item(-1), name: REFUSED_NAME }) }),
} as const satisfies Record<string, (before: Message) => Message>
export type Bad = keyof typeof BAD

/** The name of items that a trigger rejects. */
const REFUSED_NAME = 'refused'

/** Makes MySQL reject items with the name `REFUSED_NAME`. */
export async function refuseItems({ pool }: Stage): Promise<void> {
  await pool.query(
    `CREATE OR REPLACE TRIGGER refuse_items BEFORE INSERT ON inventory FOR EACH ROW
     IF NEW.name = '${REFUSED_NAME}' THEN SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = 'refused'; END IF`,
  )
}

/** Undoes `refuseItems`. */
export async function refuseNone({ pool }: Stage): Promise<void> {
  await pool.query('DROP TRIGGER IF EXISTS refuse_items')
}

/** Whether message `n` is bad. In each group of 20 messages, the `of20` before the last one are bad. */
const isBad = (n: number, of20: number): boolean => n % 20 >= 19 - of20 && n % 20 < 19

/**
 * Empties the queue and publishes `messages` create messages, like the producer. The items have the numbers from `from` on.
 * With `bad`, `bad.of20` of each 20 messages are bad. Returns the number of good messages.
 */
export async function fillCreateItem(
  { channel }: Stage,
  messages: number,
  { bad, from = 0 }: { readonly bad?: { readonly how: Bad; readonly of20: number }; readonly from?: number } = {},
): Promise<{ readonly good: number }> {
  await emptied(channel, 'create_item')
  const publish = publisherTo(channel, 'create_item')
  let lastGood = create(from)
  let good = 0
  for (let n = 0; n < messages; n += 1) {
    const message = bad !== undefined && isBad(n, bad.of20) ? BAD[bad.how](lastGood) : create(from + n)
    if (bad === undefined || !isBad(n, bad.of20)) {
      lastGood = message
      good += 1
    }
    await publish(message)
  }
  await channel.waitForConfirms()
  return { good }
}

/** Returns a function that publishes like the producer, and waits for the confirms after each 1,000 messages. */
function publisherTo(channel: ConfirmChannel, queue: string, headers = {}): (message: Message) => Promise<void> {
  let published = 0
  return async ({ messageId, content }) => {
    const properties = { persistent: true, messageId, contentType: 'application/json', headers }
    channel.sendToQueue(queue, Buffer.from(content), properties)
    published += 1
    if (published % 1_000 === 0) await channel.waitForConfirms()
  }
}

/** Empties the queue and publishes `messages` deletes, each for a different item. */
export async function fillStockManagement({ channel }: Stage, messages: number): Promise<void> {
  await emptied(channel, 'stock_management')
  const publish = publisherTo(channel, 'stock_management')
  for (let n = 0; n < messages; n += 1)
    await publish({ messageId: uuidv7(), content: JSON.stringify({ sku: item(n).sku }) })
  await channel.waitForConfirms()
}

/** Empties the queue of the peers and publishes `messages` creates in the envelope of NestJS. */
export async function fillPeerCreateItem({ channel }: Stage, messages: number): Promise<void> {
  await emptied(channel, 'peer_create_item')
  const publish = publisherTo(channel, 'peer_create_item')
  for (let n = 0; n < messages; n += 1)
    await publish({ messageId: uuidv7(), content: JSON.stringify({ pattern: 'create_item', data: item(n) }) })
  await channel.waitForConfirms()
}

/** Empties the queue and publishes `messages` sales of one item. Sets the stock to exactly that number. */
export async function fillStockAdjustment({ channel, pool }: Stage, messages: number): Promise<void> {
  await emptied(channel, 'stock_adjustment')
  await pool.query('UPDATE inventory SET quantity = ?', [messages])
  const publish = publisherTo(channel, 'stock_adjustment')
  const content = JSON.stringify({ sku: item(0).sku, change: -1, reason: 'sold' })
  for (let n = 0; n < messages; n += 1) await publish({ messageId: uuidv7(), content })
  await channel.waitForConfirms()
}

/** Empties the queue and publishes `messages` dead letters of create_item, as consumer two does. */
export async function fillDeadLetters({ channel }: Stage, messages: number): Promise<void> {
  await emptied(channel, 'create_item')
  const publish = publisherTo(channel, 'create_item.dead-letter', {
    'x-reason': 'invalid',
    'x-consumer': 'consumer_two',
  })
  for (let n = 0; n < messages; n += 1) await publish(create(n))
  await channel.waitForConfirms()
}

async function emptied(channel: ConfirmChannel, command: string): Promise<void> {
  for (const queue of [command, `${command}.dead-letter`]) {
    await channel.assertQueue(queue, { durable: true })
    await channel.purgeQueue(queue)
  }
}

/** Rows that one statement inserts. */
const INSERTED_AT_ONCE = 100_000
const DIGITS =
  'SELECT 0 AS d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9'
/** The numbers 0 to 99,999. */
const NUMBERS = `SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n
  FROM (${DIGITS}) a, (${DIGITS}) b, (${DIGITS}) c, (${DIGITS}) e, (${DIGITS}) f`

/** Empties the tables inventory and inbox, and inserts `items` items, with the values that `item` returns. */
export async function fillInventory({ pool }: Stage, items: number): Promise<void> {
  await pool.query('TRUNCATE TABLE inventory')
  await pool.query('TRUNCATE TABLE inbox')
  await inChunks(
    items,
    async (from, to) =>
      await pool.query(
        `INSERT INTO inventory (sku, name, label, price, quantity)
         SELECT CONCAT('SKU-', n), CONCAT('Item number ', n), 'juice', 25.5, n % 100
         FROM (SELECT n + ? AS n FROM (${NUMBERS}) numbers) chunk WHERE n < ? ORDER BY n`,
        [from, to],
      ),
  )
}

/** Inserts `entries` entries into the inbox, with ids that no message has. */
export async function fillInbox({ pool }: Stage, entries: number): Promise<void> {
  await inChunks(
    entries,
    async (from, to) =>
      await pool.query(
        `INSERT INTO inbox (queue, message_id, fingerprint, outcome)
         SELECT 'create_item', CONCAT('00000000-0000-7000-8000-', LPAD(n, 12, '0')), REPEAT('0', 32), 'created'
         FROM (SELECT n + ? AS n FROM (${NUMBERS}) numbers) chunk WHERE n < ? ORDER BY n`,
        [from, to],
      ),
  )
}

async function inChunks(rows: number, insert: (from: number, to: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < rows; from += INSERTED_AT_ONCE) await insert(from, Math.min(rows, from + INSERTED_AT_ONCE))
}

const countOf = z.tuple([z.object({ items: z.number() })])

/** The number of items with an id above `after`. */
export async function itemsIn({ pool }: Stage, after = 0): Promise<number> {
  return countOf.parse((await pool.query('SELECT COUNT(*) AS items FROM inventory WHERE id > ?', [after]))[0])[0].items
}

const lastOf = z.tuple([z.object({ last: z.number().nullable() })])

/** The highest id, or null without items. It reads one key, so that frequent polling is cheap. */
export async function lastId({ pool }: Stage): Promise<number | null> {
  return lastOf.parse((await pool.query('SELECT MAX(id) AS last FROM inventory'))[0])[0].last
}
