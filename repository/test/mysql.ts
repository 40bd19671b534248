// The MySQL that the tests were given by `npm test`, with a database of the test file's own.
import { serversEnvironment, serversUnderTest } from 'local'
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
  const { space } = await serversUnderTest(name)
  const config = mysqlEnvironment.parse({ ...serversEnvironment(space), ...settings })
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
