// Opens TypeORM's data source on one server, with or without TLS. Leaves nothing open if that fails.
import { connect, isIP } from 'node:net'
import type { Server } from '@ims/runtime/server-list'
import { DataSource, type Logger } from 'typeorm'
import type { MysqlConfig } from './config.ts'
import { migrations } from './migrations/index.ts'

/** TypeORM would print slow statements with their values to the console. Callers report errors. */
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
 * Connects to `server` and never changes the schema. If `statementTimeoutMs` is undefined, statements have no timeout.
 * Rejects with the error of the server, the socket or the driver.
 */
export async function connectTo(
  server: Server,
  config: MysqlConfig,
  options: { statementTimeoutMs: number | undefined },
): Promise<DataSource> {
  const source = new DataSource({
    type: 'mysql',
    // The driver compares the certificate with this name.
    host: config.tls === undefined ? server.host : verifiedName(config.tls.serverName ?? server.host),
    port: server.port,
    username: config.user,
    password: config.password,
    database: config.database,
    poolSize: config.poolSize,
    charset: 'utf8mb4',
    timezone: 'Z',
    // Return a BIGINT as a number, like an INT. TypeORM's default is text.
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
    // TypeORM queries the version after it has connected, and leaves the connection open when that query fails.
    await source.driver.disconnect().catch(() => {})
    throw error
  }
}

/**
 * The driver sets the TLS server name only for a host name, and verifies a server at an IP address as `localhost`. A
 * trailing dot makes the driver treat the address as a host name. Node then compares the part before the dot with the
 * addresses in the certificate.
 */
function verifiedName(name: string): string {
  return isIP(name) === 0 ? name : `${name}.`
}

/** The options of mysql2 for verified TLS. The name in the certificate may differ from the host. */
function encryption({ tls }: MysqlConfig, { host, port }: Server): object {
  if (tls === undefined) return {}
  const { ca, cert, key, serverName } = tls
  const ssl = { ca, cert, key, rejectUnauthorized: true, verifyIdentity: true }
  if (serverName === undefined && isIP(host) === 0) return { ssl }
  return {
    ssl,
    stream: () => connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }),
  }
}
