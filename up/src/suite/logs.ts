// `npm run logs`: follows the logs of all services, or of the services named as arguments.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { start } from 'testkit/processes/start'
import { composeLogs, suiteMode } from './compose-suite.ts'
import { logDirectory } from './fleet.ts'
import { imsSuiteOrExplain } from './ims.ts'
import { legible, logPrefix } from './log-line.ts'
import { STATUS_EXIT } from './status-report.ts'
import { nameWidth } from './suite.ts'

const EXIT_USAGE = 64

/** Runs until it is interrupted. Exit codes: 0 interrupted · 1 wrong settings · 3 no suite was ever started here · 64 unknown service. */
export async function logs(wanted: string[]): Promise<number> {
  const suite = imsSuiteOrExplain(process.env)
  if (suite === undefined) return 1
  const names = suite.admins.map(({ name }) => name)
  const unknown = wanted.filter((name) => !names.includes(name))
  if (unknown.length > 0) {
    process.stderr.write(`usage: npm run logs -- [${names.join('|')}] …\n`)
    return EXIT_USAGE
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())
  if ((await suiteMode(process.env, suite.directory)) === 'docker')
    return await composeLogs(process.env, wanted, stop.signal)
  const directory = logDirectory(suite.directory)
  if (!existsSync(directory)) {
    process.stdout.write('There are no logs yet. `npm run up` starts the suite.\n')
    return STATUS_EXIT.notRunning
  }
  const write = (line: string) => process.stdout.write(line)
  const followed = wanted.length > 0 ? wanted : names
  return await followLogs(directory, followed, nameWidth(suite), write, stop.signal)
}

/** Writes the last lines of each log, and then each new line. Resolves when `stop` aborts. */
export async function followLogs(
  directory: string,
  names: readonly string[],
  width: number,
  write: (line: string) => void,
  stop: AbortSignal,
): Promise<number> {
  await Promise.all(
    names.map(async (name) => {
      const { child, ended } = start({
        // -F continues with the new file after a log was renamed.
        command: ['tail', '-n', '10', '-F', join(directory, `${name}.log`)],
        stdio: ['ignore', 'pipe', 'ignore'],
        onLine: (line) => write(`${logPrefix(name, width)}${legible(line)}\n`),
      })
      stop.addEventListener('abort', () => child.kill(), { once: true })
      const { error } = await ended
      if (error !== undefined) throw error
    }),
  )
  return 0
}
