// Whether an answer is the answer to our statement: a connection that answers twice, as a bad proxy may, is one behind from then on.
import { z } from 'zod'
import { DatabaseError } from './errors.ts'

const okPacket = z.object({ affectedRows: z.int(), insertId: z.coerce.number() })

/** Throws a transient DatabaseError unless `answer` says that it changed exactly so many rows. */
export function assertChanged(answer: unknown, rows: number): void {
  const { data } = okPacket.safeParse(answer)
  if (data?.affectedRows !== rows) throw notOurs(`${data?.affectedRows ?? 'no'} rows instead of ${rows}`)
}

/** The same for new items: the answer to another INSERT of as many rows brings no id. */
export function assertItemsStored(answer: unknown, rows: number): void {
  assertChanged(answer, rows)
  if (okPacket.parse(answer).insertId === 0) throw notOurs('no id')
}

const notOurs = (what: string): DatabaseError =>
  new DatabaseError(`the connection to MySQL gave the answer to another statement (${what})`, { transient: true })
