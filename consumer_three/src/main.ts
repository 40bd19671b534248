// consumer_three: takes stock_management off the queue and deletes the item with that sku from MySQL.
import { consumerEnvironment, openBroker, rabbitmqEnvironment, stockManagement } from '@ims/messaging'
import { inventoryIn, mysqlEnvironment, openDatabase, retentionEnvironment, startRetention } from '@ims/repository'
import { runService } from '@ims/runtime'
import { deleteItems } from './stock-management.ts'

const config = {
  mysql: mysqlEnvironment,
  retention: retentionEnvironment,
  rabbitmq: rabbitmqEnvironment,
  consumer: consumerEnvironment,
}

void runService({ name: 'consumer_three', config }, async (service) => {
  const { config, own } = service
  // Closed in reverse: stop consuming and settle what is in hand, then the broker, the inbox's retention, then MySQL.
  const database = own(await openDatabase(config.mysql, service))
  own(startRetention(database, config.retention, service), 'the retention of the inbox')
  const broker = own(await openBroker(config.rabbitmq, service))
  own(
    await broker.consume(stockManagement, deleteItems(inventoryIn(database)), config.consumer, () =>
      database.notReady(),
    ),
  )
})
