// `migrate`: brings the schema of the database that the environment names up to date.
import { migrate, mysqlEnvironment } from '@ims/repository'
import { createLog, EXIT, InvalidEnvironment, parseEnvironment, runtimeSections } from '@ims/runtime'

/** Exit codes: 0 the schema is up to date · 1 it is not, the message says why · 78 wrong configuration. */
export async function migrateCommand(args: string[]): Promise<number> {
  if (args.length > 0) {
    process.stderr.write('usage: migrate, without arguments; MYSQL_HOST and the like say where\n')
    return EXIT.CONFIG
  }
  try {
    const sections = { mysql: mysqlEnvironment, log: runtimeSections('migrate').log }
    const config = parseEnvironment(sections, process.env)
    await migrate(config.mysql, createLog('migrate', config.log))
    return EXIT.OK
  } catch (error) {
    process.stderr.write(`✗ ${error instanceof Error ? error.message : String(error)}\n`)
    return error instanceof InvalidEnvironment ? EXIT.CONFIG : EXIT.UNCLEAN
  }
}
