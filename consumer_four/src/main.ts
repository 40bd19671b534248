// consumer_four: takes order_processing off the queue and replies with the inventory, whole or page by page.
import { consumerEnvironment, openBroker, orderProcessing, rabbitmqEnvironment } from '@ims/messaging'
import { inventoryIn, mysqlEnvironment, openDatabase } from '@ims/repository'
import { runService } from '@ims/runtime'
import { listingEnvironment } from './config.ts'
import { listItems } from './order-processing.ts'

const config = {
  mysql: mysqlEnvironment,
  rabbitmq: rabbitmqEnvironment,
  consumer: consumerEnvironment,
  listing: listingEnvironment,
}

void runService({ name: 'consumer_four', config }, async (service) => {
  const { config, own } = service
  // Closed in reverse: stop consuming and settle what is in hand, then the broker, then MySQL.
  const database = own(await openDatabase(config.mysql, service))
  const broker = own(await openBroker(config.rabbitmq, service))
  // Never more queries than connections.
  const consumer = { ...config.consumer, queriesMost: config.mysql.poolSize }
  const handler = listItems(inventoryIn(database), config.listing)
  own(await broker.consume(orderProcessing, handler, consumer, () => database.notReady()))
})
