// Runs a command that does one task and exits. Provides its configuration, log and exit code.
import { type ConfigOf, InvalidEnvironment, parseEnvironment, type Sections } from './config.ts'
import { EXIT } from './exit-codes.ts'
import { createLog, logEnvironment } from './log.ts'
import type { Log } from './service.ts'

/**
 * Runs `main` as the command `name` and sets the exit code: 0 done · 1 failed, the log has the reason · 78 the
 * configuration is wrong, the log names every variable. A signal ends the process at once, so `main` must be safe to run
 * again.
 */
export async function runCommand<S extends Sections>(
  { name, config: sections }: { name: string; config: S },
  main: (config: ConfigOf<S>, log: Log) => Promise<void>,
): Promise<void> {
  try {
    const { log } = parseEnvironment({ log: logEnvironment }, process.env)
    const commandLog = createLog(name, log)
    endOnSignals(commandLog)
    await main(parseEnvironment(sections, process.env), commandLog)
  } catch (error) {
    process.exitCode = explain(name, error)
  }
}

/** As PID 1 of a container, a process without a handler ignores signals until it is killed. */
function endOnSignals(log: Log): void {
  for (const [signal, number] of [['SIGTERM', 15] as const, ['SIGINT', 2] as const])
    process.on(signal, () => {
      log.warn({ signal, exitCode: 128 + number }, 'stopped by a signal before it had finished: run it again')
      process.exit(128 + number)
    })
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
