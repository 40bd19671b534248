// Runs a command that does one thing and ends: configuration, log, exit code.
import { type ConfigOf, InvalidEnvironment, parseEnvironment, type Sections } from './config.ts'
import { EXIT } from './exit-codes.ts'
import { createLog, logEnvironment } from './log.ts'
import type { Log } from './service.ts'

/**
 * Runs `main` as the command `name` and sets the exit code: 0 done · 1 not done, the log says why · 78 the configuration is
 * wrong, the log names every variable.
 */
export async function runCommand<S extends Sections>(
  { name, config: sections }: { name: string; config: S },
  main: (config: ConfigOf<S>, log: Log) => Promise<void>,
): Promise<void> {
  try {
    const { log } = parseEnvironment({ log: logEnvironment }, process.env)
    await main(parseEnvironment(sections, process.env), createLog(name, log))
  } catch (error) {
    process.exitCode = explain(name, error)
  }
}

function explain(name: string, error: unknown): number {
  const log = createLog(name, { level: 'info', format: 'auto' })
  if (error instanceof InvalidEnvironment) {
    for (const problem of error.problems) log.error({ exitCode: EXIT.CONFIG }, `configuration: ${problem}`)
    return EXIT.CONFIG
  }
  log.error({ exitCode: EXIT.UNCLEAN }, error instanceof Error ? error.message : String(error))
  return EXIT.UNCLEAN
}
