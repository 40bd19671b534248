// One run of jest. It also ends on Ctrl-C, and when a test has left a handle open.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { start } from '../processes/start.ts'
import { jestCommand, ROOT } from './jest.ts'
import { reportJunit } from './junit.ts'
import { nothing, oneFailure, readTally, sum, type Tally } from './tally.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const CHECK_EVERY_MS = 1_000
const LEFT_OPEN_MS = 15_000
const STOPPED_WITHIN_MS = 10_000

interface JestRun {
  readonly projects: readonly string[]
  readonly args: readonly string[]
  /** Environment variables to add to those of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** The reporter to use instead of jest's own. */
  readonly reporter?: string
  started?(pid: number): void
  /** Aborts the run. */
  readonly interrupted: AbortSignal
}

/** Like runJest, with its own temporary folder. Files that the tests leave in it count as a failure. */
export async function runJestTidily(run: JestRun): Promise<Tally> {
  const temporary = new TemporaryFolder()
  try {
    const tally = await runJest({ ...run, env: { ...run.env, TMPDIR: temporary.path } })
    return temporary.remove() ? tally : sum(tally, oneFailure('tests left files in the temporary folder'))
  } finally {
    temporary.remove()
  }
}

/** Resolves with the test counts. If jest fails without a failed test, or does not exit, that counts as one failure. */
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
  // Jest gets its own process group, so that all processes that the tests started can be killed with it.
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
    process.stderr.write('✗ jest does not exit: a test has left a handle open\n')
    killGroup('SIGKILL')
  })
  const { code } = await ended
  clearInterval(watch)
  interrupted.removeEventListener('abort', stop)
  killGroup('SIGKILL')
  const hasResults = existsSync(resultsFile)
  if (hasResults) reportJunit(resultsFile, projects.join('-'), env)
  const tally = hasResults ? readTally(resultsFile) : nothing
  if (leftOpen) return sum(tally, oneFailure('jest did not exit: a test left a handle open'))
  return code !== 0 && tally.failed === 0
    ? sum(tally, oneFailure(`jest exited with ${code} although no test failed`))
    : tally
}

/** Calls `late` if the process still runs 15 s after the results were written. */
function watchForResults(resultsFile: string, late: () => void): NodeJS.Timeout {
  let since: number | undefined
  return setInterval(() => {
    if (!existsSync(resultsFile)) return
    since ??= performance.now()
    if (performance.now() - since > LEFT_OPEN_MS) late()
  }, CHECK_EVERY_MS)
}
