// The producer turns HTTP requests into messages, and replies from consumers into HTTP responses.
import { contracts, deadLetterDesk, openBroker, rabbitmqEnvironment, waitForConsumers } from '@ims/messaging'
import { runService } from '@ims/runtime'
import { httpEnvironment, mustBeLocked } from './config.ts'
import { readConsole } from './console/files.ts'
import { watchApiKeys } from './http/api-keys-file.ts'
import { limitsOf } from './http/limits.ts'
import { listen } from './http/server.ts'
import { createApp } from './producer.ts'

/** After this time the producer listens even if queues have no consumer, because a consumer does not consume while its database is down. */
const CONSUMERS_WITHIN_MS = 30_000

const config = { rabbitmq: rabbitmqEnvironment, http: httpEnvironment }

void runService({ name: 'producer', adminPort: 9090, config }, async (service) => {
  const { config, memory, own } = service
  mustBeLocked(config.http)
  const limits = limitsOf(config.http, memory)
  const { keysNow } = own(watchApiKeys(config.http.isOpen ? 'open' : config.http.apiKeys, service), 'the API keys')
  // The parts passed to `own` are closed in reverse order: first the HTTP server with its requests in flight, then the broker.
  const broker = own(await openBroker(config.rabbitmq, service, { publishes: contracts }))
  await waitForConsumers(broker, config.http.waitFor, service, CONSUMERS_WITHIN_MS)
  // The desk connects to the broker only while it is used.
  const deadLetters = deadLetterDesk(config.rabbitmq, service)
  const { servedHosts } = config.http
  const app = createApp({
    broker,
    config: config.http,
    keysNow,
    limits,
    servedHosts,
    service,
    deadLetters,
    console: readConsole(),
  })
  own(await listen(app, config.http, service, limits), 'the HTTP server')
})
