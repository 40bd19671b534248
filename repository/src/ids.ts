// Reports how many ids of the table inventory are used up. Refused rows use up ids too.
import { z } from 'zod'
import { type BackgroundJob, inBackground } from './background-job.ts'
import type { Database } from './database.ts'
import { sentenceOf } from './errors.ts'
import { readSchema, type Table } from './schema-found.ts'
import type { Service } from './service.ts'
import { pause } from './waiting.ts'

/** Time between two measurements. */
const EVERY_MS = 3_600_000
/** The log warns when at least this share of the ids is used. */
const WARN_FROM = 0.5

const width = z.enum(['tinyint', 'smallint', 'mediumint', 'int', 'bigint'])
const BITS = { tinyint: 8, smallint: 16, mediumint: 24, int: 32, bigint: 64 }

/** The share of used ids, from 0 to 1. Undefined when the table has no AUTO_INCREMENT. */
export function shareOfIds({ nextId, columns }: Pick<Table, 'nextId' | 'columns'>): number | undefined {
  const id = columns.get('id')
  const { data } = width.safeParse(id?.data)
  if (id === undefined || data === undefined || nextId === undefined) return undefined
  const bits = BITS[data] - (/unsigned/.test(id.type) ? 0 : 1)
  // JavaScript cannot represent larger ids exactly.
  return Math.min(1, (nextId - 1) / Math.min(2 ** bits - 1, Number.MAX_SAFE_INTEGER))
}

type MeasuringService = Pick<Service, 'log' | 'stopping'> & {
  readonly meter: { observe(metric: string, value: number): void }
}

/** Measures now and every hour: sets the gauge, and logs a warning when half of the ids or more are used. Errors are logged, never thrown. */
export function watchIds(
  database: Pick<Database, 'use'>,
  service: MeasuringService,
  everyMs = EVERY_MS,
): BackgroundJob {
  return inBackground(service.stopping, async (ended) => {
    await measure(database, service)
    await pause(everyMs, ended)
  })
}

async function measure(database: Pick<Database, 'use'>, { log, meter }: MeasuringService): Promise<void> {
  try {
    const table = (await database.use(readSchema)).tables.get('inventory')
    const share = table && shareOfIds(table)
    if (share === undefined) return
    meter.observe('inventory_ids_used_ratio', share)
    if (share >= WARN_FROM)
      log.warn(
        { usedShare: share, nextId: table?.nextId },
        `${Math.floor(share * 100)} % of the ids of the table inventory are used up; at 100 % no item can be stored. Widen the column: ALTER TABLE inventory MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT`,
      )
  } catch (error) {
    log.warn(
      {},
      `could not read how many ids of the table inventory are used up, will try again later: ${sentenceOf(error)}`,
    )
  }
}
