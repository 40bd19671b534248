// Checks that a response belongs to our statement. On a connection that responds twice, for example through a bad
// proxy, all later responses are shifted by one.
import { z } from 'zod'
import { DatabaseError } from './errors.ts'

const okPacket = z.object({ affectedRows: z.int(), insertId: z.coerce.number() })

/** How many rows changed, according to `answer`. Undefined if it is no answer to a change. */
export const changedRows = (answer: unknown): number | undefined => okPacket.safeParse(answer).data?.affectedRows

/** Throws a transient DatabaseError unless `answer` says that exactly this many rows changed. */
export function assertChanged(answer: unknown, rows: number): void {
  const changed = changedRows(answer)
  if (changed !== rows) throw notOurs(`${changed ?? 'no'} rows instead of ${rows}`)
}

/** Like `assertChanged`, for new items. The response to an INSERT into another table with as many rows has no id. */
export function assertItemsStored(answer: unknown, rows: number): void {
  assertChanged(answer, rows)
  if (okPacket.parse(answer).insertId === 0) throw notOurs('no id')
}

const notOurs = (what: string): DatabaseError =>
  new DatabaseError(`the connection to MySQL returned the result of another statement (${what})`, { transient: true })
