// `migrate`: migrates the database that the environment names to the current schema.
import { join } from 'node:path'
import { onTerminal } from 'testkit/processes/start'
import { ROOT } from 'testkit/runs/jest'

const EXIT_CONFIG = 78

/** Exit codes: 0 the schema is up to date · 1 the migration failed, the log has the reason · 78 wrong configuration. */
export async function migrateCommand(args: string[]): Promise<number> {
  if (args.length > 0) {
    process.stderr.write('usage: migrate, without arguments; the MYSQL_* variables name the database\n')
    return EXIT_CONFIG
  }
  // Compose and Kubernetes run the same program.
  return await onTerminal({ command: [process.execPath, join(ROOT, 'consumer_two', 'src', 'migrate.ts')] })
}
