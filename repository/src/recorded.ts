// Reads the recorded outcomes of messages by id, from all queues.
import { z } from 'zod'
import type { Recorded, RecordedVerdict } from './contract.ts'
import type { Database } from './database.ts'
import { keyedQueue, REDRIVES_MAX, verdictRow } from './inbox.ts'

/** The queues whose messages leave an inbox entry: the commands that are applied to the database. */
const QUEUES = ['create_item', 'stock_management', 'stock_adjustment']

const rows = z.array(verdictRow.extend({ at: z.string() }))
const oldest = z.array(z.object({ at: z.string().nullable() }))
const AT = "DATE_FORMAT(applied_at, '%Y-%m-%dT%H:%i:%s.%f') AS at"
/** The server returns six fractional digits, but the table stores three. */
const iso = (at: string): string => `${at.slice(0, 23)}Z`

/** Reads by primary key, without a lock. See Inventory.recorded. */
export async function recordedOf(database: Database, messageIds: readonly string[]): Promise<Recorded[]> {
  const keys = QUEUES.flatMap((queue) =>
    Array.from({ length: REDRIVES_MAX + 1 }, (_, redrive) => keyedQueue(queue, redrive)),
  )
  return await database.use(async (sql) => {
    const found = await sql(
      `SELECT queue, CONVERT(message_id USING utf8mb4) AS id, fingerprint, outcome, error, ${AT}
       FROM inbox WHERE queue IN (?) AND message_id IN (?) ORDER BY applied_at`,
      [keys, messageIds],
    )
    const [first] = oldest.parse(await sql(`SELECT ${AT} FROM inbox ORDER BY inbox.applied_at LIMIT 1`))
    const remembersSince = first?.at ? iso(first.at) : null
    const entries = rows.parse(found)
    return messageIds.map((messageId) => ({
      verdicts: withoutMarks(entries.filter(({ id }) => id === messageId).map(verdictOf)),
      remembersSince,
    }))
  })
}

/** A message that was applied after a redrive may also have an entry without redrives, which only marks it as applied. */
const withoutMarks = (verdicts: readonly RecordedVerdict[]): RecordedVerdict[] =>
  verdicts.filter(
    ({ queue, redrives, error }) =>
      redrives > 0 ||
      error !== null ||
      !verdicts.some((other) => other.queue === queue && other.redrives > 0 && other.error === null),
  )

function verdictOf({ queue: keyed, outcome, error, at }: z.infer<typeof rows>[number]): RecordedVerdict {
  const [queue = keyed, redrives = '0'] = keyed.split('#')
  return { queue, redrives: Number(redrives), outcome, error, at: iso(at) }
}
