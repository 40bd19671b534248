// The RabbitMQ server that `npm test` provides, with a vhost for each test file.
import type { Server } from '@ims/runtime/server-list'
import { serversEnvironment, serversUnderTest } from 'testkit'
import { type RabbitmqConfig, rabbitmqEnvironment } from '../src/config.ts'

export interface RabbitmqUnderTest {
  readonly config: RabbitmqConfig
  /** The only server of `config`. */
  readonly server: Server
  readonly url: string
  readonly version: string
  drop(): Promise<void>
}

/** Creates a vhost named after the test file. Drop it at the end. */
export async function rabbitmqUnderTest(name: string): Promise<RabbitmqUnderTest> {
  const { space } = await serversUnderTest(name)
  const { host, port, username, password, vhost, version } = space.rabbitmq
  return {
    config: rabbitmqEnvironment.parse(serversEnvironment(space)),
    server: { host, port },
    url: `amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`,
    version,
    drop: () => space.drop(),
  }
}

/** A server on this loopback port, such as a proxy. */
export const onLoopback = (port: number): Server => ({ host: '127.0.0.1', port })
