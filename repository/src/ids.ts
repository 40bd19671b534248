// Watches how many ids the table inventory has left: a refused duplicate uses one up too, and there is no way to get it back.
import { z } from 'zod'
import type { Database } from './database.ts'
import { sentenceOf } from './errors.ts'
import { readSchema, type Table } from './schema-found.ts'
import type { Service } from './service.ts'
import { pause } from './waiting.ts'

/** Pause between two looks, in milliseconds. */
const EVERY_MS = 3_600_000
/** Share from which the log warns. */
const WARN_FROM = 0.5

const width = z.enum(['tinyint', 'smallint', 'mediumint', 'int', 'bigint'])
const BITS = { tinyint: 8, smallint: 16, mediumint: 24, int: 32, bigint: 64 }

/** The share of the ids that are used up, 0 to 1; undefined when the table gives no ids. */
export function shareOfIds({ nextId, columns }: Pick<Table, 'nextId' | 'columns'>): number | undefined {
  const id = columns.get('id')
  const { data } = width.safeParse(id?.data)
  if (id === undefined || data === undefined || nextId === undefined) return undefined
  const bits = BITS[data] - (/unsigned/.test(id.type) ? 0 : 1)
  // A larger one could not be told apart from its neighbour.
  return Math.min(1, (nextId - 1) / Math.min(2 ** bits - 1, Number.MAX_SAFE_INTEGER))
}

export interface IdWatch {
  close(): Promise<void>
}

type MeasuringService = Pick<Service, 'log' | 'stopping'> & {
  readonly meter: { observe(metric: string, value: number): void }
}

/** Looks at once and then every hour; sets the gauge, and warns from half of the ids on. Trouble is logged, never thrown. */
export function watchIds(database: Pick<Database, 'use'>, service: MeasuringService, everyMs = EVERY_MS): IdWatch {
  const closing = new AbortController()
  const over = AbortSignal.any([closing.signal, service.stopping])
  const looking = keepLooking(database, service, everyMs, over)
  return {
    close: async () => {
      closing.abort()
      await looking
    },
  }
}

async function keepLooking(
  database: Pick<Database, 'use'>,
  { log, meter }: MeasuringService,
  everyMs: number,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    try {
      const table = (await database.use(readSchema)).tables.get('inventory')
      const share = table && shareOfIds(table)
      if (share !== undefined) {
        meter.observe('inventory_ids_used_ratio', share)
        if (share >= WARN_FROM)
          log.warn(
            { usedShare: share, nextId: table?.nextId },
            `${Math.floor(share * 100)} % of the ids of the table inventory are used up; no item can be stored at 100 %: make it wider with ALTER TABLE inventory MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT`,
          )
      }
    } catch (error) {
      log.warn(
        {},
        `could not see how many ids the table inventory has left, will look again later: ${sentenceOf(error)}`,
      )
    }
    await pause(everyMs, over)
  }
}
