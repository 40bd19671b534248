// consumer_four replies to queries for items (order_processing), changes of stock (movements), and the recorded outcome of a
// message (message_status).
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
import { reportStatus } from './message-status.ts'
import { listMovements } from './movements.ts'
import { listItems } from './order-processing.ts'
import { warmUp } from './warm-up.ts'

const config = {
  mysql: mysqlEnvironment,
  rabbitmq: rabbitmqEnvironment,
  consumer: consumerEnvironment,
  listing: listingEnvironment,
}

void runService({ name: 'consumer_four', adminPort: 9094, config }, async (service) => {
  const { config, own } = service
  // These are closed in reverse order: the consumers (after their messages in flight are settled), the broker, the monitor, MySQL.
  const database = own(await openDatabase(config.mysql, service))
  own(watchLowStock(database, config.listing.lowStockBelow, service), 'the low-stock monitor')
  const broker = own(await openBroker(config.rabbitmq, service))
  // Each query uses a connection of the pool, so further queries would only wait for a connection.
  const consumer = { ...config.consumer, queriesMax: config.mysql.poolSize }
  const inventory = inventoryIn(database)
  const dependency = () => database.notReady('read')
  const list = listItems(inventory, config.listing)
  await warmUp(list)
  own(await broker.consume(orderProcessing, list, consumer, dependency))
  const oneByOne = { ...consumer, queriesMax: 1 }
  own(await broker.consume(movements, listMovements(inventory), oneByOne, dependency))
  own(await broker.consume(messageStatus, reportStatus(inventory), oneByOne, dependency))
})
