// `migrate`: migrates the database that the environment names to the current schema.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from 'testkit/runs/jest'

const EXIT_CONFIG = 78
const EXIT_FAILURE = 1

/** Exit codes: 0 the schema is up to date · 1 the migration failed and says why · 78 wrong configuration. */
export async function migrateCommand(args: string[]): Promise<number> {
  if (args.length > 0) {
    process.stderr.write('usage: migrate, without arguments; MYSQL_HOST and the like say where\n')
    return EXIT_CONFIG
  }
  // The same program that compose and Kubernetes run.
  const child = spawn(process.execPath, [join(ROOT, 'consumer_two', 'src', 'migrate.ts')], { stdio: 'inherit' })
  return await new Promise((resolve) => {
    child.once('error', () => resolve(EXIT_FAILURE))
    child.once('exit', (code) => resolve(code ?? EXIT_FAILURE))
  })
}
