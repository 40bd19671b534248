// What an error of MySQL means for whoever holds the message: try at once, hold and retry, refuse the row, or unknown.
import { z } from 'zod'
import { tlsTrouble } from './tls.ts'

/** MySQL did not do what it was asked to. `transient`: the world is bad, not the message, so the same may work later. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  readonly transient: boolean
  /** MySQL's error number; undefined when the failure lay between us and it. */
  readonly errno: number | undefined
  constructor(message: string, { transient, errno, cause }: { transient: boolean; errno?: number; cause?: unknown }) {
    super(message, { cause })
    this.transient = transient
    this.errno = errno
  }
}

/** `again`: nothing was wrong but the moment · `transient`: hold and retry · `row`: the row itself · `unknown`: a bug, or news */
export type Meaning = 'again' | 'transient' | 'row' | 'unknown'

/** Deadlock, lock wait timeout, row changed since the snapshot: the transaction is gone, the same one may pass now. */
const AGAIN: ReadonlySet<number> = new Set([1213, 1205, 1020])

/** Duplicate key, NULL, out of range, truncated, wrong value, too long, not in the character set, CHECK constraint. */
const ROW: ReadonlySet<number> = new Set([1062, 1048, 1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1690, 3819, 4025])

const TRANSIENT: ReadonlySet<number> = new Set([
  // No room: disk, memory, connections, quotas, table full.
  1021, 1037, 1038, 1040, 1041, 1114, 1203, 1226,
  // Not let in, or not there yet: an operator is about to change that.
  1044, 1045, 1049, 1129, 1130, 1142, 1143, 1146, 1227, 1698,
  // Handshake, network, shutdown, killed, interrupted, out of time, storage engine.
  1030, 1042, 1043, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1317, 1412, 1927, 1969, 3024, 3169,
  // Read only, or no quorum among the replicas.
  1290, 1792, 1836, 3100, 3101, 3572,
  // Only encrypted connections are let in.
  3159,
  // The client's own numbers for a server that is not there.
  2002, 2003, 2006, 2013, 4031,
])

const serverError = z.object({ errno: z.int().min(1000), sqlState: z.string() })
/** Failures of sockets and of mysql2 carry a code in words instead of MySQL's number. */
const CONNECTION_CODE = /^(PROTOCOL_|E[A-Z]+$|EAI_AGAIN$|POOL_|HANDSHAKE_)/
const codeError = z.object({ code: z.string() })
const wrapped = z.object({ driverError: z.unknown() })
const CLOSED = /connection is in closed state|Pool is closed|Connection is not established/i

/** The number of MySQL's error, wrapped by TypeORM or not; undefined when the server did not answer at all. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof DatabaseError) return error.errno
  return serverError.safeParse(unwrapped(error)).data?.errno
}

/** What `error` means, whether it comes from TypeORM, mysql2, a socket, or is ours already. */
export function meaningOf(error: unknown): Meaning {
  const errno = errnoOf(error)
  if (errno !== undefined) {
    if (AGAIN.has(errno)) return 'again'
    if (ROW.has(errno)) return 'row'
    return TRANSIENT.has(errno) ? 'transient' : 'unknown'
  }
  if (error instanceof DatabaseError) return error.transient ? 'transient' : 'unknown'
  const cause = unwrapped(error)
  const code = codeError.safeParse(cause).data?.code
  if (code !== undefined && CONNECTION_CODE.test(code)) return 'transient'
  return cause instanceof Error && CLOSED.test(cause.message) ? 'transient' : 'unknown'
}

/** `error` as a DatabaseError, without the statement's text and values that TypeORM adds: they are other people's data. */
export function asDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error
  const meaning = meaningOf(error)
  const errno = errnoOf(error)
  return new DatabaseError(sentenceOf(error), {
    transient: meaning === 'transient' || meaning === 'again',
    ...(errno === undefined ? {} : { errno }),
    cause: unwrapped(error),
  })
}

/** What the server or the socket said, in one line. */
export function sentenceOf(error: unknown): string {
  const cause = unwrapped(error)
  const text = cause instanceof Error ? cause.message || cause.name : String(cause)
  const code = codeError.safeParse(cause).data?.code
  if (code?.startsWith('HANDSHAKE_')) return tlsTrouble(cause) ?? text
  return text === '' || text === 'AggregateError' ? `${code ?? 'unknown error'}` : text
}

function unwrapped(error: unknown): unknown {
  return wrapped.safeParse(error).data?.driverError ?? error
}
