// The RabbitMQ that the tests were given by `npm test`, with a vhost of the test file's own.
import { attachServers, type TestSpace, testSpace } from 'local'
import { type RabbitmqConfig, rabbitmqEnvironment } from '../src/config.ts'

export interface RabbitmqUnderTest {
  readonly config: RabbitmqConfig
  readonly url: string
  drop(): Promise<void>
}

/** Makes a vhost named after the test file; drop it at the end. */
export async function rabbitmqUnderTest(name: string): Promise<RabbitmqUnderTest> {
  const directory = process.env.IMS_TEST_SERVERS
  if (!directory) throw new Error('IMS_TEST_SERVERS is not set: run these tests with `npm test`')
  const space: TestSpace = await testSpace(await attachServers(directory), name)
  const { host, port, username, password, vhost } = space.rabbitmq
  const config = rabbitmqEnvironment.parse({
    RABBITMQ_HOST: host,
    RABBITMQ_PORT: String(port),
    RABBITMQ_USERNAME: username,
    RABBITMQ_PASSWORD: password,
    RABBITMQ_VHOST: vhost,
  })
  const url = `amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`
  return { config, url, drop: () => space.drop() }
}
