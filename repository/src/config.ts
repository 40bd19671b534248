// The environment variables of the repository: address of MySQL, timeouts, and the retention of the inbox.
import { duplicateServers, serverList, serversOf } from '@ims/runtime/server-list'
import { tlsEnvironment } from '@ims/runtime/tls'
import { ms, port, whole } from '@ims/runtime/variables'
import { z } from 'zod'

const tls = tlsEnvironment('MYSQL')

export const mysqlEnvironment = z
  .object({
    MYSQL_HOST: serverList
      .default('127.0.0.1')
      .describe(
        'host name or address of MySQL or MariaDB, or a list `host[:port],host[:port]`: one server is used at a time; when it fails, is not ready or is read-only, the next one is used',
      ),
    MYSQL_PORT: port.default(3306).describe('port of MySQL, unless MYSQL_HOST contains one'),
    MYSQL_USER: z.string().min(1).default('ims').describe('user name'),
    MYSQL_PASSWORD: z.string().default('ims').describe('password'),
    MYSQL_DATABASE: z.string().min(1).default('ims').describe('database with the tables inventory and inbox'),
    MYSQL_POOL_SIZE: whole(1, 1_000).default(4).describe('maximum number of connections of a process'),
    MYSQL_ACQUIRE_TIMEOUT_MS: ms(5_000).describe('timeout for getting a connection from the pool'),
    MYSQL_CONNECTION_AGE_MOST_S: whole(1, 86_400)
      .default(60)
      .describe(
        'maximum age of a connection, in seconds; new connections follow a host name that now points to another server',
      ),
    MYSQL_CONNECT_TIMEOUT_MS: ms(5_000).describe('timeout for a new connection, including the handshake'),
    MYSQL_STATEMENT_TIMEOUT_MS: ms(10_000).describe('timeout of a statement'),
    MYSQL_LOCK_TIMEOUT_S: whole(1, 3_600)
      .default(3)
      .describe('timeout for a lock that another transaction holds, in seconds'),
    MYSQL_RETRY_MOST_MS: ms(5_000).describe('maximum pause between two attempts to reach MySQL during startup'),
    MYSQL_MIGRATION_TIMEOUT_MS: ms(300_000).describe(
      'how long `npm run migrate` waits for MySQL and for other migrations',
    ),
    ...tls.shape,
  })
  .superRefine(tls.check)
  .superRefine((v, context) => {
    for (const message of duplicateServers(v.MYSQL_HOST, v.MYSQL_PORT))
      context.addIssue({ code: 'custom', path: ['MYSQL_HOST'], message })
  })
  .transform((v) => ({
    servers: serversOf(v.MYSQL_HOST, v.MYSQL_PORT),
    user: v.MYSQL_USER,
    password: v.MYSQL_PASSWORD,
    database: v.MYSQL_DATABASE,
    poolSize: v.MYSQL_POOL_SIZE,
    acquireTimeoutMs: v.MYSQL_ACQUIRE_TIMEOUT_MS,
    connectionAgeMaxMs: v.MYSQL_CONNECTION_AGE_MOST_S * 1_000,
    connectTimeoutMs: v.MYSQL_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: v.MYSQL_STATEMENT_TIMEOUT_MS,
    lockTimeoutS: v.MYSQL_LOCK_TIMEOUT_S,
    retryMaxMs: v.MYSQL_RETRY_MOST_MS,
    migrationTimeoutMs: v.MYSQL_MIGRATION_TIMEOUT_MS,
    tls: tls.of(v),
  }))
export type MysqlConfig = z.output<typeof mysqlEnvironment>

export const retentionEnvironment = z
  .object({
    INBOX_RETENTION_DAYS: whole(0, 36_500)
      .default(30)
      .describe(
        'days to keep the records of applied messages; a message that is redelivered after that is applied again (0: keep for ever)',
      ),
    INBOX_RETENTION_EVERY_S: whole(1, 86_400)
      .default(600)
      .describe(
        'pause between two deletions of older inbox rows, in seconds; each pause is a random 50 to 150 % of this value',
      ),
  })
  .transform((v) => ({ days: v.INBOX_RETENTION_DAYS, everyMs: v.INBOX_RETENTION_EVERY_S * 1_000 }))
export type RetentionConfig = z.output<typeof retentionEnvironment>
