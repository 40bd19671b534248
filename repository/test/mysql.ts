// The MySQL that `npm test` provides, with a database for the test file.

import type { Server } from '@ims/runtime/server-list'
import { type Servers, serversEnvironment, serversUnderTest } from 'testkit'
import { z } from 'zod'
import { type MysqlConfig, mysqlEnvironment } from '../src/config.ts'
import { connectTo } from '../src/data-source.ts'
import type { Database } from '../src/database.ts'
import type { Sql } from '../src/server-pool.ts'

export interface MysqlUnderTest {
  readonly config: MysqlConfig
  readonly server: Server
  /** The same server, with its administrator account. */
  readonly root: Servers['mysql']
  /** Sends a statement on the test's own connection, as an operator would. */
  readonly sql: Sql
  drop(): Promise<void>
}

/** Creates an empty database named after the test file. Drop it at the end. */
export async function mysqlUnderTest(name: string, settings: Record<string, string> = {}): Promise<MysqlUnderTest> {
  const { servers, space } = await serversUnderTest(name)
  const config = mysqlEnvironment.parse({ ...serversEnvironment(space), ...settings })
  const { host, port } = space.mysql
  const server = { host, port }
  const source = await connectTo(server, config, { statementTimeoutMs: undefined })
  return {
    config,
    server,
    root: servers.mysql,
    sql: (statement, parameters) => source.query(statement, parameters),
    drop: async () => {
      await source.destroy()
      await space.drop()
    },
  }
}

/** The same database through these loopback ports, where proxies listen. */
export const through = (config: MysqlConfig, ...ports: readonly number[]): MysqlConfig => ({
  ...config,
  servers: ports.map((port) => ({ host: '127.0.0.1', port })),
})

const connectionIds = z.tuple([z.object({ id: z.coerce.number() })])

/** The server's id of the connection that `database` uses. */
export const connectionIdOf = async (database: Pick<Database, 'use'>): Promise<number> =>
  connectionIds.parse(await database.use((sql) => sql('SELECT CONNECTION_ID() AS id')))[0].id
