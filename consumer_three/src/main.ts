// consumer_three deletes items (stock_management) and changes their quantity (stock_adjustment) in MySQL.
import { consumerEnvironment, openBroker, rabbitmqEnvironment, stockAdjustment, stockManagement } from '@ims/messaging'
import { inventoryIn, mysqlEnvironment, openDatabase, retentionEnvironment, startRetention } from '@ims/repository'
import { runService } from '@ims/runtime'
import { adjustItems } from './stock-adjustment.ts'
import { deleteItems } from './stock-management.ts'

const config = {
  mysql: mysqlEnvironment,
  retention: retentionEnvironment,
  rabbitmq: rabbitmqEnvironment,
  consumer: consumerEnvironment,
}

void runService({ name: 'consumer_three', adminPort: 9093, config }, async (service) => {
  const { config, own } = service
  // These are closed in reverse order: the consumers (after their messages in flight are settled), the broker, the retention, MySQL.
  const database = own(await openDatabase(config.mysql, service))
  own(startRetention(database, config.retention, service), 'the retention of the inbox')
  const broker = own(await openBroker(config.rabbitmq, service))
  const inventory = inventoryIn(database)
  own(await broker.consume(stockManagement, deleteItems(inventory), config.consumer, () => database.notReady('delete')))
  own(await broker.consume(stockAdjustment, adjustItems(inventory), config.consumer, () => database.notReady('adjust')))
})
