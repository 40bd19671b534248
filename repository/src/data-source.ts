// TypeORM's data source on one server: how we connect, encrypted or not, and that nothing stays open when that fails.
import { connect } from 'node:net'
import { DataSource, type Logger } from 'typeorm'
import type { MysqlConfig } from './config.ts'
import { migrations } from './migrations/index.ts'
import type { Server } from './server-list.ts'

/** TypeORM would print slow statements, values included, to the console; what goes wrong is told by the errors. */
const silent: Logger = {
  logQuery() {},
  logQueryError() {},
  logQuerySlow() {},
  logSchemaBuild() {},
  logMigration() {},
  log() {},
}

const KEEP_ALIVE_MS = 10_000

/**
 * Connects to `server`; the schema is never changed by itself. `statementTimeoutMs` undefined: statements may take for ever.
 * Rejects with what the server, the socket or the driver said.
 */
export async function connectTo(
  server: Server,
  config: MysqlConfig,
  options: { statementTimeoutMs: number | undefined },
): Promise<DataSource> {
  const source = new DataSource({
    type: 'mysql',
    // What the driver compares the certificate with.
    host: config.tls?.serverName ?? server.host,
    port: server.port,
    username: config.user,
    password: config.password,
    database: config.database,
    poolSize: config.poolSize,
    charset: 'utf8mb4',
    timezone: 'Z',
    // A BIGINT that JavaScript can hold is a number, as an INT is. TypeORM would ask for text.
    bigNumberStrings: false,
    connectTimeout: config.connectTimeoutMs,
    migrations,
    synchronize: false,
    logging: false,
    logger: silent,
    ...(options.statementTimeoutMs === undefined
      ? {}
      : { enableQueryTimeout: true, maxQueryExecutionTime: options.statementTimeoutMs }),
    extra: { enableKeepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS, ...encryption(config, server) },
  })
  try {
    return await source.initialize()
  } catch (error) {
    // TypeORM asks for the version after it has connected, and leaves the connection open when that is refused.
    await source.driver.disconnect().catch(() => {})
    throw error
  }
}

/** What mysql2 wants for TLS that is verified, by a name that may differ from where the server is. */
function encryption({ tls }: MysqlConfig, { host, port }: Server): object {
  if (tls === undefined) return {}
  const { ca, cert, key, serverName } = tls
  const ssl = { ca, cert, key, rejectUnauthorized: true, verifyIdentity: true }
  if (serverName === undefined) return { ssl }
  return {
    ssl,
    stream: () => connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }),
  }
}
