// The RabbitMQ server that `npm test` provides, with a vhost for each test file. Closes what a test has passed to `own`.
import type { Server } from '@ims/runtime/server-list'
import { afterAll, afterEach, beforeAll, expect } from '@jest/globals'
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

interface Closable {
  close(): unknown
}

/** Creates a vhost before the first test of the calling file, and drops it after the last. The returned fields are set once it exists. */
export function rabbitmqOfFile(name: string) {
  const underTest = {} as RabbitmqUnderTest
  const open: Closable[] = []
  beforeAll(async () => void Object.assign(underTest, await rabbitmqUnderTest(name)))
  afterEach(async () => {
    const failures: unknown[] = []
    for (const each of open.splice(0).reverse())
      try {
        await each.close()
      } catch (error) {
        failures.push(error) // The others must be closed too.
      }
    expect(failures).toEqual([])
  })
  afterAll(() => underTest.drop())
  /** Returns `resource`, and closes it after the test. Resources are closed in reverse order. */
  const own = <T extends Closable>(resource: T): T => {
    open.push(resource)
    return resource
  }
  return Object.assign(underTest, { own })
}

/** A server on this loopback port, such as a proxy. */
export const onLoopback = (port: number): Server => ({ host: '127.0.0.1', port })
