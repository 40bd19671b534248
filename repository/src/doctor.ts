// The doctor's checks on the database as one user: login, rights, schema, inbox, clock, ids and connections. They only read.
import { type Finding, fault, fine, unchecked } from '@ims/runtime/finding'
import { addressOf } from '@ims/runtime/server-list'
import { z } from 'zod'
import type { MysqlConfig } from './config.ts'
import { connectTo } from './data-source.ts'
import { missingMigrations } from './database.ts'
import { errnoOf, sentenceOf } from './errors.ts'
import { shareOfIds } from './ids.ts'
import { faultsOf } from './schema.ts'
import { readSchema } from './schema-found.ts'
import type { Sql } from './server-pool.ts'
import { setUpSession } from './session.ts'

const NO_SUCH_TABLE = 1146
/** No privilege on the database, the table, or a column. */
const DENIED: ReadonlySet<number> = new Set([1044, 1142, 1143])
const CLOCK_DIFFERENCE_MAX_MS = 2_000
const IDS_USED_MAX = 0.5
/** Retention runs in rounds, so rows may stay a little longer. */
const RETENTION_LATE_MAX_DAYS = 1
/** Connections that must stay free for administrators, backups and other clients. */
const SPARE_CONNECTIONS = 10

export interface DatabaseQuestion {
  readonly tables: Readonly<Record<string, readonly ('SELECT' | 'INSERT' | 'UPDATE' | 'DELETE')[]>>
  readonly retentionDays: number
  /** The number of connections that all processes of the suite may open together. Undefined when it is unknown. */
  readonly connections: number | undefined
}

/** EXPLAIN requires the same privileges as the statement, but does not execute it. */
const EXPLAINED = {
  SELECT: (table: string) => `EXPLAIN SELECT * FROM ${table}`,
  INSERT: (table: string) => `EXPLAIN INSERT INTO ${table} SELECT * FROM ${table}`,
  UPDATE: (table: string) => `EXPLAIN UPDATE ${table} SET id = id WHERE id < 0`,
  DELETE: (table: string) => `EXPLAIN DELETE FROM ${table} WHERE 1 = 0`,
}

/** Examines each server of `config`, and resolves with the findings. Never rejects. */
export async function examineDatabase(config: MysqlConfig, question: DatabaseQuestion): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const server of config.servers) {
    const login = `MySQL login of ${config.user} on ${addressOf(server)}`
    const opening = connectTo(server, { ...config, poolSize: 1 }, { statementTimeoutMs: config.statementTimeoutMs })
    const source = await opening.catch((error: unknown) => sentenceOf(error))
    if (typeof source === 'string') {
      const todo = /Access denied/.test(source)
        ? `Run the statements of the accounts again: they set the password and the rights of ${config.user}.`
        : 'Check that MySQL runs, and check MYSQL_HOST, MYSQL_PORT, MYSQL_DATABASE and MYSQL_TLS.'
      findings.push(fault(login, source, todo))
      continue
    }
    findings.push(fine(login, 'connected'))
    const sql: Sql = (statement, parameters) => source.query(statement, parameters)
    for (const [check, examine] of checks(config, question)) {
      try {
        findings.push(...(await examine(sql, check)))
      } catch (error) {
        findings.push(unchecked(check, sentenceOf(error)))
      }
    }
    await source.destroy()
  }
  return findings
}

type Examine = (sql: Sql, check: string) => Promise<Finding[]>

function checks(config: MysqlConfig, question: DatabaseQuestion): [check: string, examine: Examine][] {
  return [
    ['MySQL session', (sql, check) => session(sql, check, config)],
    ['MySQL version', version],
    ['MySQL TLS', (sql, check) => encryption(sql, check, config)],
    ...Object.entries(question.tables).flatMap(([table, rights]) =>
      rights.map((right): [string, Examine] => [
        `right of ${config.user} to ${right} on ${table}`,
        (sql, check) => hasRight(sql, check, EXPLAINED[right](table)),
      ]),
    ),
    ['schema', schema],
    ['ids left', idsLeft],
    ['inbox', (sql, check) => inbox(sql, check, question.retentionDays)],
    ['clock', clock],
    ['max_connections', (sql, check) => connections(sql, check, question.connections)],
  ]
}

async function session(sql: Sql, check: string, { lockTimeoutS, statementTimeoutMs }: MysqlConfig): Promise<Finding[]> {
  try {
    await setUpSession(sql, { lockTimeoutS, statementTimeoutMs }, { mustTakeWrites: true })
    return [fine(check, 'the server accepts writes, and all session variables can be set')]
  } catch (error) {
    return [fault(check, sentenceOf(error), 'Change this on the server, or take the server out of MYSQL_HOST.')]
  }
}

async function version(sql: Sql, check: string): Promise<Finding[]> {
  const [row] = z.tuple([z.object({ version: z.string() })]).parse(await sql('SELECT VERSION() AS version'))
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(row.version) ?? []
  const min = /mariadb/i.test(row.version) ? '10.11' : '8.4'
  const [minMajor, minMinor] = min.split('.').map(Number)
  const isOld = Number(major) < Number(minMajor) || (Number(major) === minMajor && Number(minor) < Number(minMinor))
  if (!isOld) return [fine(check, row.version)]
  return [fault(check, row.version, 'Upgrade to MySQL 8.4 or MariaDB 10.11, or later. Older versions are not tested.')]
}

const status = z.tuple([z.object({ Value: z.string() })])

async function encryption(sql: Sql, check: string, { tls }: MysqlConfig): Promise<Finding[]> {
  const [{ Value: cipher }] = status.parse(await sql("SHOW STATUS LIKE 'Ssl_cipher'"))
  if (cipher !== '') return [fine(check, cipher)]
  if (tls !== undefined)
    return [fault(check, 'MYSQL_TLS is on, but the connection is not encrypted', 'Check MYSQL_HOST.')]
  return [fine(check, 'off: use this only in a private network')]
}

async function hasRight(sql: Sql, check: string, statement: string): Promise<Finding[]> {
  try {
    await sql(statement)
    return [fine(check, 'granted')]
  } catch (error) {
    const errno = errnoOf(error)
    const why = sentenceOf(error)
    if (errno === NO_SUCH_TABLE) return [fault(check, why, 'Run npm run migrate.')]
    if (errno !== undefined && DENIED.has(errno))
      return [fault(check, why, 'Run the statements of the accounts again: they grant the rights of each user.')]
    return [unchecked(check, why)]
  }
}

async function schema(sql: Sql, check: string): Promise<Finding[]> {
  const missing = (await missingMigrations(sql)).map((name) => `migration ${name} has not run`)
  const wrong = faultsOf(await readSchema(sql)).map(({ table, problem }) => `${table}: ${problem}`)
  const faults = missing.length > 0 ? missing : wrong
  if (faults.length === 0) return [fine(check, 'up to date')]
  return [fault(check, faults.join('; '), 'Run npm run migrate. It corrects the schema or says what to do.')]
}

async function idsLeft(sql: Sql, check: string): Promise<Finding[]> {
  const table = (await readSchema(sql)).tables.get('inventory')
  const share = table && shareOfIds(table)
  if (share === undefined) return [unchecked(check, 'the table inventory has no AUTO_INCREMENT that this user can see')]
  const found = `${Math.floor(share * 100)} % of the ids of inventory are used`
  const todo = 'ALTER TABLE inventory MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT'
  return [share < IDS_USED_MAX ? fine(check, found) : fault(check, found, todo)]
}

const inboxRow = z.tuple([z.object({ days: z.coerce.number().nullable(), about: z.coerce.number().nullable() })])

async function inbox(sql: Sql, check: string, retentionDays: number): Promise<Finding[]> {
  const [{ days, about }] = inboxRow.parse(
    await sql(
      `SELECT (SELECT TIMESTAMPDIFF(DAY, MIN(applied_at), UTC_TIMESTAMP()) FROM inbox) AS days,
         (SELECT table_rows FROM information_schema.tables
          WHERE table_schema = DATABASE() AND table_name = 'inbox') AS about`,
    ),
  )
  const found = `about ${about ?? 'an unknown number of'} rows, the oldest is ${days ?? 0} days old`
  if (retentionDays === 0) return [fine(check, `${found}; INBOX_RETENTION_DAYS=0 keeps them for ever`)]
  if ((days ?? 0) <= retentionDays + RETENTION_LATE_MAX_DAYS) return [fine(check, found)]
  const todo = 'Look in the logs of consumers two and three for "remove old rows", and check their right to DELETE.'
  return [fault(check, `${found}, but INBOX_RETENTION_DAYS is ${retentionDays}`, todo)]
}

async function clock(sql: Sql, check: string): Promise<Finding[]> {
  const before = Date.now()
  const rows = await sql('SELECT ROUND(UNIX_TIMESTAMP(SYSDATE(3)) * 1000) AS now')
  const after = Date.now()
  const [{ now }] = z.tuple([z.object({ now: z.coerce.number() })]).parse(rows)
  // The server read its clock between `before` and `after`.
  const differenceMs = now < before ? before - now : Math.max(0, now - after)
  const found = `MySQL's clock differs from ours by ${differenceMs} ms`
  if (differenceMs <= CLOCK_DIFFERENCE_MAX_MS) return [fine(check, found)]
  return [fault(check, found, 'Synchronise both clocks with NTP: the inbox and message ids contain times.')]
}

async function connections(sql: Sql, check: string, wanted: number | undefined): Promise<Finding[]> {
  const [{ max }] = z
    .tuple([z.object({ max: z.coerce.number() })])
    .parse(await sql('SELECT @@global.max_connections AS max'))
  if (wanted === undefined) return [unchecked(check, `the server allows ${max}, but the replicas could not be counted`)]
  const found = `the server allows ${max}, and the suite opens at most ${wanted}`
  if (wanted + SPARE_CONNECTIONS <= max) return [fine(check, found)]
  return [
    fault(check, found, `Set max_connections to ${wanted + SPARE_CONNECTIONS} or more, or MYSQL_POOL_SIZE to less.`),
  ]
}
