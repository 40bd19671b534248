// Adds an index on (label, id), so that the cost of a page of one label depends on the page and not on the table.
import type { MigrationInterface, QueryRunner } from 'typeorm'
import { z } from 'zod'
import { errnoOf } from '../errors.ts'
import { MigrationRefused } from '../migration-refused.ts'

/** Maximum characters of a key column in every InnoDB row format: 767 bytes, at four bytes for each character. */
const KEY_MAX_CHARACTERS = 191
/** Length of the prefix to index if an operator made the column longer. It holds the longest label that the services store. */
const LABEL_CHARACTERS = 50
/** The server or the storage engine cannot create the index online. `repairTables` later replaces such an engine. */
const NOT_ONLINE: ReadonlySet<number | undefined> = new Set([1845, 1846])

const keys = z.array(z.unknown())
const columns = z.array(z.object({ data: z.string(), length: z.coerce.number() }))

/** Runs online if the server can do that: processes of the previous version can read and write meanwhile. They work with and without the index. */
export class IndexLabel1764000000005 implements MigrationInterface {
  readonly name = 'IndexLabel1764000000005'

  async up(runner: QueryRunner): Promise<void> {
    const there: unknown = await runner.query(
      `SELECT 1 FROM information_schema.statistics
       WHERE table_schema = DATABASE() AND table_name = 'inventory' AND index_name = 'label_id'`,
    )
    if (keys.parse(there).length > 0) return
    const [label] = columns.parse(
      await runner.query(
        `SELECT data_type AS data, character_maximum_length AS length FROM information_schema.columns
         WHERE table_schema = DATABASE() AND table_name = 'inventory' AND column_name = 'label'`,
      ),
    )
    if (label === undefined)
      throw new MigrationRefused(
        'inventory: the table is missing although its migration is recorded: restore it from a backup',
      )
    const isShort = /char$/.test(label.data) && label.length <= KEY_MAX_CHARACTERS
    const add = `ALTER TABLE inventory ADD INDEX label_id (label${isShort ? '' : `(${LABEL_CHARACTERS})`}, id)`
    try {
      await runner.query(`${add}, ALGORITHM=INPLACE, LOCK=NONE`)
    } catch (error) {
      if (!NOT_ONLINE.has(errnoOf(error))) throw error
      await runner.query(add)
    }
  }

  async down(): Promise<void> {
    throw new Error('the index is not dropped by a migration: without it, a page of one label reads the whole table')
  }
}
