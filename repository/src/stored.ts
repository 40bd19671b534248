// Checks that a response belongs to our statement. On a connection that responds twice, for example through a bad
// proxy, all later responses are shifted by one.
import { z } from 'zod'
import { DatabaseError } from './errors.ts'

const okPacket = z.object({ affectedRows: z.int(), insertId: z.coerce.number() })

/** Throws a transient DatabaseError unless `answer` says that exactly this many rows changed. */
export function assertChanged(answer: unknown, rows: number): void {
  const { data } = okPacket.safeParse(answer)
  if (data?.affectedRows !== rows) throw notOurs(`${data?.affectedRows ?? 'no'} rows instead of ${rows}`)
}

/** Like `assertChanged`, for new items. The response to an INSERT into another table with as many rows has no id. */
export function assertItemsStored(answer: unknown, rows: number): void {
  assertChanged(answer, rows)
  if (okPacket.parse(answer).insertId === 0) throw notOurs('no id')
}

const notOurs = (what: string): DatabaseError =>
  new DatabaseError(`the connection to MySQL returned the result of another statement (${what})`, { transient: true })
