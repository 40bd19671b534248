// Ceiling for consuming: amqplib parses each body and acknowledges in batches, nothing else. Prints its duration.
import amqplib from 'amqplib'

const messages = Number(process.env.BENCH_MESSAGES)
const connection = await amqplib.connect(process.env.BENCH_AMQP_URL ?? '')
const channel = await connection.createChannel()
await channel.prefetch(1_000)
let since = 0
let seen = 0
let cpuBefore = process.cpuUsage()
await channel.consume('create_item', (message) => {
  if (message === null) return
  if (seen === 0) {
    since = performance.now()
    cpuBefore = process.cpuUsage()
  }
  JSON.parse(message.content.toString())
  seen += 1
  if (seen % 500 === 0 || seen === messages) channel.ack(message, true)
  if (seen < messages) return
  const { user, system } = process.cpuUsage(cpuBefore)
  process.stdout.write(`${JSON.stringify({ elapsedMs: performance.now() - since, cpuUs: user + system })}\n`)
})
