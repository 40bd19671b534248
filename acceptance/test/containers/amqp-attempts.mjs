// Runs in a service's container with the service's own secret. Tries actions on RabbitMQ, and prints as JSON which it tried
// and which were refused. The test replaces QUEUE_NAMES with an array, and sends this file to the standard input of Node.js,
// which then resolves the service's amqplib.
import { readFileSync } from 'node:fs'
import amqplib from 'amqplib'

const all = QUEUE_NAMES.flatMap((queue) => [queue, `${queue}.dead-letter`])

const attempts = {
  ...Object.fromEntries(all.map((queue) => [`get ${queue}`, (channel) => channel.get(queue, { noAck: false })])),
  ...Object.fromEntries(all.map((queue) => [`purge ${queue}`, (channel) => channel.purgeQueue(queue)])),
  ...Object.fromEntries(all.map((queue) => [`delete ${queue}`, (channel) => channel.deleteQueue(queue)])),
  'declare a queue': (channel) => channel.assertQueue('of-its-own', { durable: true }),
  'declare an exchange': (channel) => channel.assertExchange('of-its-own', 'fanout'),
  'bind a queue': (channel) => channel.bindQueue('create_item', 'amq.topic', '#'),
  'publish to another exchange': async (channel) => {
    channel.publish('amq.topic', 'x', Buffer.from('x'))
    await channel.waitForConfirms()
  },
}

const model = await amqplib.connect({
  protocol: 'amqp',
  hostname: process.env.RABBITMQ_HOST,
  username: process.env.RABBITMQ_USERNAME,
  password: readFileSync(process.env.RABBITMQ_PASSWORD_FILE, 'utf8'),
  vhost: '%2F',
})
const refused = []
for (const [what, attempt] of Object.entries(attempts)) {
  const channel = await model.createConfirmChannel()
  let reason
  const closed = new Promise((resolve) => channel.once('close', resolve))
  channel.on('error', (error) => {
    reason = error.message
  })
  try {
    await attempt(channel)
    await channel.close()
  } catch (error) {
    await closed
    reason ??= error.message
    if (!/ACCESS.REFUSED/.test(reason)) throw new Error(`${what}: ${reason}`)
    refused.push(what)
  }
}
await model.close()
process.stdout.write(JSON.stringify({ tried: Object.keys(attempts), refused }))
