// The floor for draining: a consumer written by hand, with the same guarantee as ours. It writes a batch of items and their
// inbox entries with two multi-row inserts in one transaction, and acknowledges after the commit. It cannot handle bad messages.
import { hash } from 'node:crypto'
import { createItem } from '@ims/messaging/contracts'
import amqplib, { type ConsumeMessage } from 'amqplib'
import mysql from 'mysql2/promise'

/** The defaults of our consumers. */
const PREFETCH = 2_000
const BATCH_MAX = 1_000

const database = await mysql.createConnection(process.env.BENCH_MYSQL_URL ?? '')
const connection = await amqplib.connect(process.env.BENCH_AMQP_URL ?? '')
const channel = await connection.createChannel()
await channel.prefetch(PREFETCH)

interface Parsed {
  readonly message: ConsumeMessage
  readonly entry: readonly unknown[]
  readonly item: readonly unknown[]
}

const waiting: Parsed[] = []
let isWorking = false

await channel.consume(createItem.queue, (message) => {
  if (message === null) return
  const { content, properties } = message
  const { sku, name, label, price, quantity } = createItem.body.parse(JSON.parse(content.toString()))
  const fingerprint = hash('sha256', content, 'hex').slice(0, 32)
  const entry = [createItem.queue, properties.messageId, fingerprint, 'created', null]
  waiting.push({ message, entry, item: [sku, name, label, price, quantity] })
  if (!isWorking) void work()
})

async function work(): Promise<void> {
  isWorking = true
  // Waits until all messages of one socket read are parsed, so that they are in one batch.
  await new Promise((resolve) => setImmediate(resolve))
  while (waiting.length > 0) {
    const batch = waiting.splice(0, BATCH_MAX)
    await database.query('BEGIN')
    await database.query('INSERT INTO inbox (queue, message_id, fingerprint, outcome, error) VALUES ?', [
      batch.map(({ entry }) => entry),
    ])
    await database.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [
      batch.map(({ item }) => item),
    ])
    await database.query('COMMIT')
    const last = batch.at(-1)
    if (last) channel.ack(last.message, true)
  }
  isWorking = false
}
