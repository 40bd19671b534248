// The collation that compares byte for byte, including trailing blanks. MySQL and MariaDB name it differently.
import { z } from 'zod'
import type { Sql } from '../server-pool.ts'

/** MySQL 8.0.17 and later; MariaDB 10.2 and later. */
const EXACT = ['utf8mb4_0900_bin', 'utf8mb4_nopad_bin'] as const
const names = z.array(z.object({ name: z.enum(EXACT) }))

/** The server's collation for utf8mb4 in which 'k1', 'K1' and 'k1 ' are three values. Throws when it has none. */
export async function exactCollation(sql: Sql): Promise<(typeof EXACT)[number]> {
  const found = await sql(
    'SELECT collation_name AS name FROM information_schema.collations WHERE collation_name IN (?)',
    [EXACT],
  )
  const [first] = names.parse(found)
  if (first) return first.name
  throw new Error(`this server knows neither ${EXACT.join(' nor ')}: MySQL 8.4+ or MariaDB 10.11+ is needed`)
}
