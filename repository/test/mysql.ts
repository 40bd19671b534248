// The MySQL that the tests were given by `npm test`, with a database of the test file's own.
import { attachServers, testSpace } from 'local'
import { type MysqlConfig, mysqlEnvironment } from '../src/config.ts'
import { dataSource, type Sql } from '../src/connections.ts'

export interface MysqlUnderTest {
  readonly config: MysqlConfig
  /** Sends a statement on a connection of the test's own, as an operator would. */
  readonly sql: Sql
  drop(): Promise<void>
}

/** Makes an empty database named after the test file; drop it at the end. */
export async function mysqlUnderTest(name: string, settings: Record<string, string> = {}): Promise<MysqlUnderTest> {
  const directory = process.env.IMS_TEST_SERVERS
  if (!directory) throw new Error('IMS_TEST_SERVERS is not set: run these tests with `npm test`')
  const space = await testSpace(await attachServers(directory), name)
  const { host, port, user, password, database } = space.mysql
  const config = mysqlEnvironment.parse({
    MYSQL_HOST: host,
    MYSQL_PORT: String(port),
    MYSQL_USER: user,
    MYSQL_PASSWORD: password,
    MYSQL_DATABASE: database,
    ...settings,
  })
  const source = await dataSource(config, { statementTimeoutMs: undefined }).initialize()
  return {
    config,
    sql: (statement, parameters) => source.query(statement, parameters),
    drop: async () => {
      await source.destroy()
      await space.drop()
    },
  }
}
