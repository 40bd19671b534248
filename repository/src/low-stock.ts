// Reports how many items are below the operator's threshold for low stock.
import { z } from 'zod'
import { type BackgroundJob, disabledJob, inBackground } from './background-job.ts'
import type { Database } from './database.ts'
import { sentenceOf } from './errors.ts'
import type { Service } from './service.ts'
import { pause } from './waiting.ts'

/** Time between two counts. */
const EVERY_MS = 60_000
/** A count reads the whole table, so the pause after it is at least this many times as long as the count. */
const PAUSE_FACTOR = 100

type MeasuringService = Pick<Service, 'log' | 'stopping'> & {
  readonly meter: { observe(metric: string, value: number): void }
}

const counted = z.tuple([z.object({ low: z.coerce.number() })])

/**
 * Counts the items with a quantity below `below` now and every minute, and sets the gauge. Does nothing if `below` is 0.
 * Errors are logged, never thrown.
 */
export function watchLowStock(
  database: Pick<Database, 'use'>,
  below: number,
  service: MeasuringService,
  everyMs = EVERY_MS,
): BackgroundJob {
  if (below === 0) return disabledJob
  const { log, meter, stopping } = service
  return inBackground(stopping, async (ended) => {
    const since = performance.now()
    try {
      const rows = await database.use((sql) => sql('SELECT COUNT(*) AS low FROM inventory WHERE quantity < ?', [below]))
      meter.observe('inventory_low_stock_items', counted.parse(rows)[0].low)
    } catch (error) {
      log.warn({ below }, `could not count the items with low stock, will try again later: ${sentenceOf(error)}`)
    }
    await pause(Math.max(everyMs, (performance.now() - since) * PAUSE_FACTOR), ended)
  })
}
