// consumer_two consumes create_item messages and stores the items in MySQL.
import { consumerEnvironment, createItem, openBroker, rabbitmqEnvironment } from '@ims/messaging'
import {
  inventoryIn,
  mysqlEnvironment,
  openDatabase,
  retentionEnvironment,
  startRetention,
  watchIds,
} from '@ims/repository'
import { runService } from '@ims/runtime'
import { storeItems } from './item-creation.ts'

const config = {
  mysql: mysqlEnvironment,
  retention: retentionEnvironment,
  rabbitmq: rabbitmqEnvironment,
  consumer: consumerEnvironment,
}

void runService({ name: 'consumer_two', adminPort: 9092, config }, async (service) => {
  const { config, own } = service
  // These are closed in reverse order: the consumer (after its messages in flight are settled), the broker, the background jobs, MySQL.
  const database = own(await openDatabase(config.mysql, service))
  own(startRetention(database, config.retention, service), 'the retention of the inbox')
  own(watchIds(database, service), 'the id monitor')
  const broker = own(await openBroker(config.rabbitmq, service))
  const dependency = () => database.notReady('create')
  own(await broker.consume(createItem, storeItems(inventoryIn(database)), config.consumer, dependency))
})
