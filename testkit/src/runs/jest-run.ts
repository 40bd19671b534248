// One run of jest on the terminal. It always ends: on Ctrl-C, and also when a test has left a handle open.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { start } from '../processes/start.ts'
import { jestCommand, ROOT } from './jest.ts'
import { reportJunit } from './junit.ts'
import { nothing, oneFailure, readTally, sum, type Tally } from './tally.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const LOOK_EVERY_MS = 1_000
const LEFT_OPEN_MS = 15_000
const STOPPED_WITHIN_MS = 10_000

interface JestRun {
  readonly projects: readonly string[]
  readonly args: readonly string[]
  /** Variables in addition to ours. */
  readonly env?: Readonly<Record<string, string>>
  /** The reporter to use instead of jest's own. */
  readonly reporter?: string
  started?(pid: number): void
  /** Aborts the run. */
  readonly interrupted: AbortSignal
}

/** Like runJest, in a temporary folder of its own. A file that the tests leave there counts as a failure. */
export async function runJestTidily(run: JestRun): Promise<Tally> {
  const temporary = new TemporaryFolder()
  try {
    const tally = await runJest({ ...run, env: { ...run.env, TMPDIR: temporary.path } })
    return temporary.remove() ? tally : sum(tally, oneFailure('tests left files in the temporary folder'))
  } finally {
    temporary.remove()
  }
}

/** Resolves with the test counts. Any other failure of jest, or a jest that does not end, counts as one failure. */
export async function runJest(run: JestRun): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), 'ims-results-'))
  try {
    return await runInto(join(folder, 'results.json'), run)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function runInto(resultsFile: string, run: JestRun): Promise<Tally> {
  const { projects, args, reporter, started, interrupted } = run
  const env = { ...process.env, ...run.env }
  interrupted.throwIfAborted()
  const options = ['--runInBand', ...(reporter === undefined ? [] : [`--reporters=${reporter}`])]
  const command = jestCommand(projects, resultsFile, options, args)
  // A process group of its own, so that everything the tests started can be ended with it.
  const where = { cwd: ROOT, env, ownGroup: true }
  const { child, ended, killGroup } = start({ command, ...where, stdio: ['ignore', 'ignore', 'inherit'] })
  if (child.pid !== undefined) started?.(child.pid)
  const stop = () => {
    killGroup('SIGTERM')
    setTimeout(() => killGroup('SIGKILL'), STOPPED_WITHIN_MS).unref()
  }
  interrupted.addEventListener('abort', stop)
  let leftOpen = false
  const watch = watchForResults(resultsFile, () => {
    leftOpen = true
    process.stderr.write('✗ jest does not end: a test has left something open\n')
    killGroup('SIGKILL')
  })
  const { code } = await ended
  clearInterval(watch)
  interrupted.removeEventListener('abort', stop)
  killGroup('SIGKILL')
  const hasResults = existsSync(resultsFile)
  if (hasResults) reportJunit(resultsFile, projects.join('-'), env)
  const tally = hasResults ? readTally(resultsFile) : nothing
  if (leftOpen) return sum(tally, oneFailure('jest did not end: a test left something open'))
  return code !== 0 && tally.failed === 0
    ? sum(tally, oneFailure(`jest ended with ${code}, without a failed test`))
    : tally
}

/** Calls `late` if the process is still running some time after the results were written. */
function watchForResults(resultsFile: string, late: () => void): NodeJS.Timeout {
  let since: number | undefined
  return setInterval(() => {
    if (!existsSync(resultsFile)) return
    since ??= performance.now()
    if (performance.now() - since > LEFT_OPEN_MS) late()
  }, LOOK_EVERY_MS)
}
