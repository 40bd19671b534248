// The consumers in NestJS. They insert creates one by one, and send a whole list in one reply. With PEER_TUNED=true, they
// set a prefetch and acknowledge after the insert. Otherwise the broker removes a message when it delivers it (no ack).
import { Controller, Inject, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Ctx, EventPattern, MessagePattern, Payload, RmqContext, Transport } from '@nestjs/microservices'
import mysql from 'mysql2/promise'
import { classOf, method } from './decorated.js'

const isTuned = process.env.PEER_TUNED === 'true'

class Stock {
  constructor(pool) {
    this.pool = pool
  }

  async create({ sku, name, label, price, quantity }, context) {
    await this.pool.execute('INSERT INTO inventory (sku, name, label, price, quantity) VALUES (?, ?, ?, ?, ?)', [
      sku,
      name,
      label,
      price,
      quantity,
    ])
    if (isTuned) context.getChannelRef().ack(context.getMessage())
  }

  async list(_, context) {
    const [rows] = await this.pool.query(
      'SELECT sku, name, label, price + 0E0 AS price, quantity FROM inventory ORDER BY id',
    )
    if (isTuned) context.getChannelRef().ack(context.getMessage())
    return rows
  }
}
Inject('pool')(Stock, undefined, 0)
method(Stock, 'create', [EventPattern('create_item')], [Payload(), Ctx()], [Object, RmqContext])
method(Stock, 'list', [MessagePattern('order_processing')], [Payload(), Ctx()], [Object, RmqContext])
classOf(Stock, Controller())

class Consumer {}
classOf(
  Consumer,
  Module({
    controllers: [Stock],
    providers: [
      {
        provide: 'pool',
        useFactory: () => mysql.createPool({ uri: process.env.BENCH_MYSQL_URL, connectionLimit: 10 }),
      },
    ],
  }),
)

const app = await NestFactory.create(Consumer, { logger: ['error', 'warn'] })
for (const queue of ['peer_create_item', 'peer_order_processing'])
  app.connectMicroservice({
    transport: Transport.RMQ,
    options: {
      urls: [process.env.BENCH_AMQP_URL],
      queue,
      queueOptions: { durable: true },
      noAck: !isTuned,
      ...(isTuned ? { prefetchCount: 1_000 } : {}),
    },
  })
await app.startAllMicroservices()
process.stdout.write('ready\n')
