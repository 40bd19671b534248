// The ceiling for accepted requests: Express, our schema, and one plain confirm channel of amqplib. Messages are persistent and
// mandatory, and have an id. With BENCH_ALL_PROPERTIES=true, they have all properties that our messages have.
import { randomUUID } from 'node:crypto'
import { createItem, healthcheck } from '@ims/messaging/contracts'
import amqplib from 'amqplib'
import express, { type Response } from 'express'
import { v7 as uuidv7 } from 'uuid'

const connection = await amqplib.connect(process.env.BENCH_AMQP_URL ?? '')
const channel = await connection.createConfirmChannel()
const returned = new Set<string>()
channel.on('return', ({ properties }) => returned.add(properties.messageId))
await channel.assertQueue(createItem.queue, { durable: true })
await channel.assertQueue(healthcheck.queue, { durable: true })

const hasAllProperties = process.env.BENCH_ALL_PROPERTIES === 'true'
const more = () =>
  hasAllProperties && {
    timestamp: Math.floor(Date.now() / 1_000),
    appId: 'producer',
    headers: { 'x-request-id': randomUUID() },
  }

/** Responds 200 when the broker has confirmed the message, and 503 if the broker rejected or returned it. */
function accept(response: Response, queue: string, body: unknown, sent: string): void {
  const messageId = uuidv7()
  const properties = { persistent: true, mandatory: true, messageId, contentType: 'application/json', ...more() }
  channel.publish('', queue, Buffer.from(JSON.stringify(body)), properties, (error) => {
    if (error || returned.delete(messageId)) response.status(503).end()
    else response.setHeader('Message-Id', messageId).json({ message: sent })
  })
}

const app = express()
app.disable('etag')
app.disable('x-powered-by')
app.use(express.json())
app.post('/create_item', (request, response) =>
  accept(response, createItem.queue, createItem.body.parse(request.body), 'Create item message sent'),
)
app.get('/healthcheck', (_, response) =>
  accept(response, healthcheck.queue, ['message', 'Healthcheck'], 'Healthcheck message sent'),
)
app.listen(Number(process.env.PORT), '127.0.0.1')
