// The RabbitMQ that the tests were given, with a vhost of the test file's own.
import { rabbitmqEnvironment } from '../src/config.ts'

export async function rabbitmqUnderTest() {
  const config = rabbitmqEnvironment.parse({ RABBITMQ_PORT: '35672' })
  return { config, url: 'amqp://guest:guest@127.0.0.1:35672' }
}
