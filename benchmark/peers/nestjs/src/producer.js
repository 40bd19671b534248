// The producer in NestJS. With PEER_TUNED=true, it responds after the confirm of a persistent, mandatory message with an
// id. Otherwise it emits the event and responds at once, as in the documentation of NestJS.
import { randomUUID } from 'node:crypto'
import { Body, Controller, Get, HttpCode, Inject, Module, Post, ValidationPipe } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ClientProxy, ClientsModule, RmqRecordBuilder, Transport } from '@nestjs/microservices'
import { lastValueFrom } from 'rxjs'
import { CreateItemDto } from './create-item.dto.js'
import { classOf, method } from './decorated.js'

const isTuned = process.env.PEER_TUNED === 'true'
const client = (queue) => ({
  name: queue,
  transport: Transport.RMQ,
  options: { urls: [process.env.BENCH_AMQP_URL], queue, queueOptions: { durable: true }, persistent: isTuned },
})

class Items {
  constructor(creations, listings) {
    this.creations = creations
    this.listings = listings
  }

  async create(item) {
    const options = { messageId: randomUUID(), mandatory: true, contentType: 'application/json' }
    if (isTuned)
      await lastValueFrom(
        this.creations.emit('create_item', new RmqRecordBuilder(item).setOptions(options).build()),
        // `emit` completes without a value.
        { defaultValue: undefined },
      )
    else this.creations.emit('create_item', item)
    return { message: 'Create item message sent' }
  }

  list() {
    return this.listings.send('order_processing', ['message', 'Order Processing'])
  }
}
Reflect.defineMetadata('design:paramtypes', [ClientProxy, ClientProxy], Items)
Inject('peer_create_item')(Items, undefined, 0)
Inject('peer_order_processing')(Items, undefined, 1)
method(Items, 'create', [Post('create_item'), HttpCode(200)], [Body()], [CreateItemDto])
method(Items, 'list', [Get('order_processing')])
classOf(Items, Controller())

class Producer {}
classOf(
  Producer,
  Module({
    imports: [ClientsModule.register([client('peer_create_item'), client('peer_order_processing')])],
    controllers: [Items],
  }),
)

const app = await NestFactory.create(Producer, { logger: ['error', 'warn'] })
app.useGlobalPipes(new ValidationPipe())
if (isTuned) app.set('etag', false)
await app.listen(Number(process.env.PORT), '127.0.0.1')
