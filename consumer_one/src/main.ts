// consumer_one consumes healthcheck messages and writes them to the log.
import { consumerEnvironment, healthcheck, openBroker, rabbitmqEnvironment } from '@ims/messaging'
import { runService, standardOutput } from '@ims/runtime'
import { logHealthchecks } from './healthcheck.ts'

const config = { rabbitmq: rabbitmqEnvironment, consumer: consumerEnvironment }

void runService({ name: 'consumer_one', adminPort: 9091, config }, async (service) => {
  const { config, log, own } = service
  // These are closed in reverse order: the consumer (after its messages in flight are settled), then the broker.
  const broker = own(await openBroker(config.rabbitmq, service))
  const { flush } = standardOutput()
  own(await broker.consume(healthcheck, logHealthchecks(log, flush), config.consumer))
})
