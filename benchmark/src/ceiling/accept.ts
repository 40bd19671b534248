// Ceiling for accepting: only Express, zod and one amqplib confirm channel.
import amqplib from 'amqplib'
import express from 'express'
import { z } from 'zod'

const item = z.object({
  sku: z.string().min(1).max(20),
  name: z.string().min(1).max(100),
  label: z.string().min(1).max(50),
  price: z.number().min(0),
  quantity: z.int().min(0),
})
const connection = await amqplib.connect(process.env.BENCH_AMQP_URL ?? '')
const channel = await connection.createConfirmChannel()
await channel.assertQueue('create_item', { durable: true })

const app = express()
app.use(express.json())
app.post('/create_item', (request, response) => {
  const body = Buffer.from(JSON.stringify(item.parse(request.body)))
  channel.publish('', 'create_item', body, { persistent: true }, (error) => {
    if (error) response.status(503).end()
    else response.json({ message: 'Create item message sent' })
  })
})
app.listen(Number(process.env.PORT), '127.0.0.1')
