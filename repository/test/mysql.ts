// The MySQL that the tests were given by `npm test`, with a database of the test file's own.
import { serversEnvironment, serversUnderTest } from 'local'
import { type MysqlConfig, mysqlEnvironment } from '../src/config.ts'
import { connectTo } from '../src/data-source.ts'
import type { Server } from '../src/server-list.ts'
import type { Sql } from '../src/server-pool.ts'

export interface MysqlUnderTest {
  readonly config: MysqlConfig
  readonly server: Server
  /** Sends a statement on a connection of the test's own, as an operator would. */
  readonly sql: Sql
  drop(): Promise<void>
}

/** Makes an empty database named after the test file; drop it at the end. */
export async function mysqlUnderTest(name: string, settings: Record<string, string> = {}): Promise<MysqlUnderTest> {
  const { space } = await serversUnderTest(name)
  const config = mysqlEnvironment.parse({ ...serversEnvironment(space), ...settings })
  const { host, port } = space.mysql
  const server = { host, port }
  const source = await connectTo(server, config, { statementTimeoutMs: undefined })
  return {
    config,
    server,
    sql: (statement, parameters) => source.query(statement, parameters),
    drop: async () => {
      await source.destroy()
      await space.drop()
    },
  }
}

/** The same database by way of these ports of the loopback, proxies for the most part. */
export const through = (config: MysqlConfig, ...ports: readonly number[]): MysqlConfig => ({
  ...config,
  servers: ports.map((port) => ({ host: '127.0.0.1', port })),
})
