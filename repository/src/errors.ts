// Classifies MySQL errors: run the transaction again, refuse the row, wait for the server, or unknown.

import { tlsTrouble } from '@ims/runtime/tls'
import { z } from 'zod'

/**
 * A statement or a connection to MySQL failed. `transient`: the message is not the cause, so a retry may succeed.
 * `contended`: another transaction locks a row of the batch, and the other rows may be free. `ours`: all connections of
 * our own pool were in use, so the server may be healthy.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  readonly transient: boolean
  readonly contended: boolean
  readonly ours: boolean
  /** MySQL's error number. Undefined when the server did not respond. */
  readonly errno: number | undefined
  constructor(
    message: string,
    options: { transient: boolean; contended?: boolean; ours?: boolean; errno?: number; cause?: unknown },
  ) {
    const { transient, contended = false, ours = false, errno, cause } = options
    super(message, { cause })
    this.transient = transient
    this.contended = contended
    this.ours = ours
    this.errno = errno
  }
}

/** Thrown inside a transaction whose data another one has changed. The transaction is rolled back and run again. */
export class RunAgain extends Error {
  override readonly name = 'RunAgain'
}

/**
 * `again`: the transaction lost to another one and was rolled back; run it again · `row`: the database refused the row
 * · `transient`: the server, the account or the schema is in a wrong state, or the server cannot be reached ·
 * `unknown`: any other error. It counts against a message only if other messages of the batch succeed
 * (messaging/src/incoming/attempts.ts).
 */
export type Meaning = 'again' | 'row' | 'transient' | 'unknown'

/** Deadlock (including Galera's certification failure), lock wait timeout, row changed since the snapshot. */
const AGAIN: ReadonlySet<number> = new Set([1213, 1205, 1020])

/**
 * The only errors that a row can cause: duplicate key, out of range, truncated, wrong value, not in the character set,
 * too long, CHECK constraint, foreign key; in a trigger or generated column also NULL (1048), division by zero (1365),
 * text that is not a date (1411, 1441) or not JSON (3140 to 3158), and SIGNAL (1644). MySQL and MariaDB use the same
 * numbers except for CHECK (3819, 4025): https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html
 */
const ROW: ReadonlySet<number> = new Set([
  1048, 1062, 1264, 1265, 1292, 1300, 1365, 1366, 1367, 1406, 1411, 1441, 1644, 1690, 3819, 4025, 1216, 1217, 1451,
  1452, 3140, 3141, 3144, 3156, 3157, 3158,
])
/** A trigger refuses a row with SIGNAL and this SQLSTATE. The error number can be anything. */
const SIGNALED = '45000'
const DUPLICATE_KEY = 1062
const OUT_OF_RANGE = 1264
/** Matches an error about the column `id`: the ids are used up, so the row is not the cause. */
const COLUMN_ID = /column '(?:\w+\.)?id'/

/**
 * Server states that end by themselves or through an operator. They can affect one statement and not the next, so they
 * never count against a message. A number that is in none of these lists is `unknown`.
 */
const TRANSIENT: ReadonlySet<number> = new Set([
  // No resources: disk, memory, connections, quotas, table full, AUTO_INCREMENT used up (167 on MariaDB).
  1021, 1037, 1038, 1040, 1041, 1114, 1203, 1226, 1467, 167,
  // Access denied: unknown or locked account, expired password, missing privilege.
  1044, 1045, 1129, 1130, 1142, 1143, 1227, 1370, 1698, 1820, 1862, 3118, 3159, 4151,
  // The schema is not (yet) the expected one: database, table, column, key, default.
  1049, 1054, 1109, 1136, 1146, 1176, 1364, 1412,
  // Read-only, no quorum, or not ready.
  1036, 1047, 1290, 1792, 1836, 3100, 3101, 3572,
  // The server's configuration rejects the statement (binlog_format=STATEMENT), or a proxy has no server.
  1105, 1665, 9001,
  // Handshake, network, shutdown, killed, interrupted, out of time, storage engine.
  1030, 1042, 1043, 1053, 1077, 1079, 1152, 1153, 1158, 1159, 1160, 1161, 1180, 1184, 1317, 1927, 1969, 3024, 3169,
  // Error numbers of the client for an unreachable server.
  2002, 2003, 2006, 2013, 4031,
])

/** The statement was interrupted or timed out. The server may still be healthy. */
const OF_ONE_STATEMENT: ReadonlySet<number> = new Set([1317, 1969, 3024])

const serverError = z.object({ errno: z.int().min(1), sqlState: z.string() })
/** Errors of sockets and of mysql2 have a text code instead of MySQL's number. */
const CONNECTION_CODE = /^(PROTOCOL_|E[A-Z]+$|EAI_AGAIN$|POOL_|HANDSHAKE_)/
const codeError = z.object({ code: z.string() })
const wrapped = z.object({ driverError: z.unknown() })
const CLOSED = /connection is in closed state|Pool is closed|Connection is not established/i

/** MySQL's error number, also of an error that TypeORM has wrapped. Undefined when the server did not respond. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof DatabaseError) return error.errno
  return serverError.safeParse(unwrapped(error)).data?.errno
}

/** Classifies `error`, which may come from TypeORM, mysql2 or a socket, or be a DatabaseError. */
export function meaningOf(error: unknown): Meaning {
  if (error instanceof RunAgain) return 'again'
  if (error instanceof DatabaseError && error.errno === undefined) return error.transient ? 'transient' : 'unknown'
  const cause = error instanceof DatabaseError ? error.cause : unwrapped(error)
  const { data: answer } = serverError.safeParse(cause)
  if (answer !== undefined) {
    if (AGAIN.has(answer.errno)) return 'again'
    if (error instanceof DatabaseError && error.transient) return 'transient'
    if (TRANSIENT.has(answer.errno)) return 'transient'
    if (!ROW.has(answer.errno) && answer.sqlState !== SIGNALED) return 'unknown'
    // Only the message of OUT_OF_RANGE names the column without quoting data. Others quote the row, or come from a trigger.
    return answer.errno === OUT_OF_RANGE && COLUMN_ID.test(sentenceOf(cause)) ? 'transient' : 'row'
  }
  const code = codeError.safeParse(cause).data?.code
  if (code !== undefined && CONNECTION_CODE.test(code)) return 'transient'
  return cause instanceof Error && CLOSED.test(cause.message) ? 'transient' : 'unknown'
}

/**
 * True when the connection itself failed, or its server is in a wrong state: full, locked, limited, read-only, unknown.
 * Another server of the list may work.
 */
export function wantsAnotherServer(error: unknown): boolean {
  const errno = errnoOf(error)
  const meaning = meaningOf(error)
  if (errno === undefined) return meaning === 'transient' && !(error instanceof DatabaseError && error.ours)
  return (meaning === 'transient' || meaning === 'unknown') && !OF_ONE_STATEMENT.has(errno)
}

/** `error` as a DatabaseError, without the statement and values that TypeORM adds, because they are customer data. */
export function asDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error
  const meaning = meaningOf(error)
  return databaseError(error, meaning === 'transient' || meaning === 'again')
}

/** `error` as a transient DatabaseError: for a failed handshake, SET, START TRANSACTION or COMMIT, which no message can cause. */
export const asTransient = (error: unknown): DatabaseError =>
  error instanceof DatabaseError && error.transient ? error : databaseError(error, true)

function databaseError(error: unknown, transient: boolean): DatabaseError {
  const cause = error instanceof DatabaseError && error.cause !== undefined ? error.cause : unwrapped(error)
  const errno = errnoOf(error)
  return new DatabaseError(sentenceOf(error), { transient, ...(errno === undefined ? {} : { errno }), cause })
}

/**
 * The key of a duplicate (error 1062): `PRIMARY`, `sku`, or `audit.sku` when MySQL reports that it belongs to a table
 * that a trigger writes to (MariaDB names no table). Undefined for any other error.
 */
export function duplicateKeyOf(error: unknown): string | undefined {
  if (errnoOf(error) !== DUPLICATE_KEY) return undefined
  return /for key '(?:(?:inventory|inbox)\.)?([^']*)'$/.exec(sentenceOf(error))?.[1]
}

/** The id that may have caused the refusal of a new row in the table inventory. Undefined for any other cause. */
export function duplicateIdOf(error: unknown): string | undefined {
  if (errnoOf(error) !== DUPLICATE_KEY) return undefined
  return /^Duplicate entry '(\d+)' for key '(?:inventory\.)?PRIMARY'$/.exec(sentenceOf(error))?.[1]
}

/** The message of the server or the socket, in one line. */
export function sentenceOf(error: unknown): string {
  const cause = unwrapped(error)
  const text = cause instanceof Error ? cause.message || cause.name : String(cause)
  const code = codeError.safeParse(cause).data?.code
  if (code?.startsWith('HANDSHAKE_')) return tlsTrouble('MYSQL', cause) ?? text
  return text === '' || text === 'AggregateError' ? `${code ?? 'unknown error'}` : text
}

function unwrapped(error: unknown): unknown {
  return wrapped.safeParse(error).data?.driverError ?? error
}
