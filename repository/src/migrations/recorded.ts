// Reads which migrations have run on a database.
import { z } from 'zod'
import { errnoOf } from '../errors.ts'
import type { Sql } from '../server-pool.ts'

const NO_SUCH_TABLE = 1146
const names = z.array(z.object({ name: z.string() }))

/** The names of the recorded migrations. Empty if the table `migrations` does not exist. */
export async function recordedMigrations(sql: Sql): Promise<ReadonlySet<string>> {
  try {
    return new Set(names.parse(await sql('SELECT name FROM migrations')).map(({ name }) => name))
  } catch (error) {
    if (errnoOf(error) === NO_SUCH_TABLE) return new Set()
    throw error
  }
}
