// Deletes inbox rows that are older than the retention, in small batches, so that messages are not delayed.
import { z } from 'zod'
import { type BackgroundJob, disabledJob, inBackground } from './background-job.ts'
import type { RetentionConfig } from './config.ts'
import type { Database } from './database.ts'
import { sentenceOf } from './errors.ts'
import type { Service } from './service.ts'
import { pause } from './waiting.ts'

/** Maximum rows per statement, so that its locks are held for milliseconds only. */
const BATCH_ROWS = 500
/** Shortest pause between two statements, in milliseconds. */
const PAUSE_MIN_MS = 20
/** A pause is this many times as long as the previous statement, so that messages get most of the database's time. */
const PAUSE_FACTOR = 4

type Needs = Pick<Database, 'use' | 'notReady'>
type CountingService = Pick<Service, 'log' | 'stopping'> & {
  readonly meter: { count(metric: string, labels?: Record<string, string>, by?: number): void }
}

/**
 * Starts a background job that deletes inbox rows older than `days`. 0 keeps them for ever. All replicas may run it at the
 * same time. Errors are logged and end the round, not the process.
 */
export function startRetention(database: Needs, config: RetentionConfig, service: CountingService): BackgroundJob {
  if (config.days === 0) return disabledJob
  service.meter.count('inbox_rows_removed', {}, 0)
  return inBackground(service.stopping, async (ended) => {
    // Jitter, so that replicas that started together do not run at the same time.
    await pause(config.everyMs * (0.5 + Math.random()), ended)
    if (!ended.aborted) await removeOld(database, config, service, ended)
  })
}

/** One round. Never rejects. */
async function removeOld(
  database: Needs,
  { days }: RetentionConfig,
  { log, meter }: CountingService,
  ended: AbortSignal,
): Promise<void> {
  let rows = 0
  try {
    const why = await database.notReady()
    if (why !== undefined)
      return log.debug({ why }, 'not deleting old rows of the inbox, because the database is not ready')
    for (;;) {
      const since = performance.now()
      const removed = await removeBatch(database, days)
      rows += removed
      meter.count('inbox_rows_removed', {}, removed)
      if (removed < BATCH_ROWS || ended.aborted) break
      await pause(Math.max(PAUSE_MIN_MS, (performance.now() - since) * PAUSE_FACTOR), ended)
      if (ended.aborted) break
    }
  } catch (error) {
    log.warn({ rows, days }, `could not remove old rows of the inbox, will try again later: ${sentenceOf(error)}`)
    return
  }
  if (rows > 0) log.info({ rows, days }, 'removed old rows of the inbox')
}

const OLD = 'applied_at < UTC_TIMESTAMP(3) - INTERVAL ? DAY'
const counted = z.tuple([z.object({ found: z.coerce.number() })])
const header = z.object({ affectedRows: z.int() })

/**
 * Deletes one batch, and resolves with its size. Uses the database's clock, in UTC. Needs no transaction, because only one
 * of the two statements writes.
 */
async function removeBatch(database: Needs, days: number): Promise<number> {
  return await database.use(async (sql) => {
    // Count first, without locks: a DELETE whose LIMIT exceeds the matching rows also locks the next row, which may
    // belong to a message being applied, and waits for it.
    const count = `SELECT COUNT(*) AS found FROM (SELECT 1 FROM inbox WHERE ${OLD} LIMIT ?) AS old_rows`
    const [{ found }] = counted.parse(await sql(count, [days, BATCH_ROWS]))
    if (found === 0) return 0
    // Oldest first, so that the index `applied_at` is read from its beginning.
    const removed = await sql(`DELETE FROM inbox WHERE ${OLD} ORDER BY applied_at LIMIT ?`, [days, found])
    return header.parse(removed).affectedRows
  })
}
