// consumer_four answers queries: the inventory (order_processing), whole or page by page, its changes (movements), and
// the outcome of a message.
import {
  consumerEnvironment,
  messageStatus,
  movements,
  openBroker,
  orderProcessing,
  rabbitmqEnvironment,
} from '@ims/messaging'
import { inventoryIn, mysqlEnvironment, openDatabase, watchLowStock } from '@ims/repository'
import { runService } from '@ims/runtime'
import { listingEnvironment } from './config.ts'
import { tellStatus } from './message-status.ts'
import { listMovements } from './movements.ts'
import { listItems } from './order-processing.ts'
import { rehearse } from './rehearse.ts'

const config = {
  mysql: mysqlEnvironment,
  rabbitmq: rabbitmqEnvironment,
  consumer: consumerEnvironment,
  listing: listingEnvironment,
}

void runService({ name: 'consumer_four', adminPort: 9094, config }, async (service) => {
  const { config, own } = service
  // Closed in reverse: stop consuming and settle messages in flight, then the broker, the low-stock monitor, then MySQL.
  const database = own(await openDatabase(config.mysql, service))
  own(watchLowStock(database, config.listing.lowStockBelow, service), 'the watch on low stock')
  const broker = own(await openBroker(config.rabbitmq, service))
  // Never more queries than connections.
  const consumer = { ...config.consumer, queriesMax: config.mysql.poolSize }
  const inventory = inventoryIn(database)
  const dependency = () => database.notReady('read')
  const list = listItems(inventory, config.listing)
  await rehearse(list)
  own(await broker.consume(orderProcessing, list, consumer, dependency))
  const oneByOne = { ...consumer, queriesMax: 1 }
  own(await broker.consume(movements, listMovements(inventory), oneByOne, dependency))
  own(await broker.consume(messageStatus, tellStatus(inventory), oneByOne, dependency))
})
