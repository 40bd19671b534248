// `test`: runs all checks, then the standalone, integration and acceptance tests, on private servers if needed. Prints a summary line.
import { join } from 'node:path'
import { startServers } from '../servers/index.ts'
import { chooseTestMode } from '../servers/mode.ts'
import { openssl } from '../servers/openssl.ts'
import type { Mode } from '../servers/servers.ts'
import { runChecks } from './check.ts'
import { listedTests, ROOT } from './jest.ts'
import { runJestTidily } from './jest-run.ts'
import { exceptions, nothing, sum, summaryLine, type Tally } from './tally.ts'
import { makeTestDirectory, noteJest, removeTestDirectory, sweepTestDirectories } from './test-directory.ts'

const EXIT_INTERRUPTED = 130
const PARENT = join(ROOT, '.local', 'test')

/** The projects of one run of jest. */
type Lane = readonly string[]
const LANES: readonly Lane[] = [['integration'], ['acceptance']]

/** Exit codes: 0 all passed · 1 a test failed, or none ran · 69 no servers available · 130 interrupted. Arguments select tests, as with jest. */
export async function test(args: string[]): Promise<number> {
  const began = performance.now()
  const interruption = interruptedBySignals()
  let tally = nothing
  let isGood = false
  try {
    const checks = await runChecks(args)
    tally = checks.tally
    if (checks.isGood && !interruption.aborted) {
      const withoutServers = new AbortController()
      const standalone = standaloneTests(args, AbortSignal.any([interruption, withoutServers.signal]))
      const onServers = testsOnServers(args, interruption).catch((error) => {
        withoutServers.abort()
        throw error
      })
      for (const result of await Promise.allSettled([onServers, standalone])) {
        if (result.status === 'fulfilled') tally = sum(tally, result.value)
        else if (!interruption.aborted) throw result.reason
      }
      isGood = tally.failed === 0 && tally.passed > 0
    }
    if (checks.isGood && tally.passed + tally.failed === 0) print(`✗ no test matches ${args.join(' ')}`)
    if (!checks.isGood) print('✗ the checks failed: the tests that need servers were not run')
  } finally {
    if (interruption.aborted) print('✗ interrupted')
    if (args.length > 0) print(`! only tests that match ${args.join(' ')} were run`)
    const took = `${((performance.now() - began) / 1000).toFixed(0)} s`
    print(`${exceptions(tally)}${isGood ? '✓ test passed' : '✗ test failed'} (${took})`)
    print(summaryLine(tally))
  }
  return interruption.aborted ? EXIT_INTERRUPTED : isGood ? 0 : 1
}

/**
 * Runs the tests of these lanes in parallel. Each lane has its own private servers, because tests stop their servers. The
 * servers are removed afterwards.
 */
export async function testsOnServers(
  args: readonly string[],
  interrupted: AbortSignal,
  lanes: readonly Lane[] = LANES,
): Promise<Tally> {
  // Servers take a minute or more to start. If no test matches, none are started.
  const matching = await Promise.all(lanes.map((lane) => args.length === 0 || hasTests(lane, args)))
  const wanted = lanes.filter((_, index) => matching[index])
  if (wanted.length === 0) return nothing
  const mode = await chooseTestMode(process.env)
  const swept = await sweepTestDirectories(PARENT)
  if (swept > 0) print(`✓ removed the servers and files of ${swept} killed test run(s)`)
  const placed = wanted.map((lane, index) => ({ lane, directory: makeTestDirectory(PARENT, index) }))
  try {
    // The servers start one after the other, because the first start may have to install the programs.
    for (const { directory } of placed) await startPrivateServers(directory, mode, interrupted)
    await openssl((text) => print(`… ${text}`))
    const tallies = placed.map(async ({ lane: projects, directory }) => {
      const env = { IMS_TEST_SERVERS: serversIn(directory) }
      const started = (pid: number) => noteJest(directory, pid)
      return await runJestTidily({ projects, args, env, started, interrupted })
    })
    await Promise.allSettled(tallies)
    return (await Promise.all(tallies)).reduce(sum)
  } finally {
    await Promise.all(placed.map(({ directory }) => removeTestDirectory(directory)))
  }
}

async function hasTests(lane: Lane, args: readonly string[]): Promise<boolean> {
  return (await listedTests(lane, args)).length > 0
}

const serversIn = (directory: string) => join(directory, 'servers')

async function startPrivateServers(directory: string, mode: Mode, interrupted: AbortSignal): Promise<void> {
  interrupted.throwIfAborted()
  const began = performance.now()
  const onProgress = (text: string) => print(`… ${text}`)
  const { rabbitmq, mysql } = await startServers({
    directory: serversIn(directory),
    mode,
    lifetime: 'process',
    onProgress,
    interrupted,
  })
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`
  print(`✓ RabbitMQ ${rabbitmq.version} and MySQL ${mysql.version}, ${mode} (${took})`)
}

/** Runs the tests that need no server, in parallel with the tests on servers, which mostly wait. */
async function standaloneTests(args: readonly string[], interrupted: AbortSignal): Promise<Tally> {
  const projects = ['standalone']
  if (args.length > 0 && !(await hasTests(projects, args))) return nothing
  return await runJestTidily({ projects, args, interrupted })
}

/** The first signal aborts the run, and the servers are stopped and removed. The second signal ends the process at once. */
export function interruptedBySignals(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // npm and the terminal both send a signal on Ctrl-C, so a second signal right after the first is ignored.
      if (controller.signal.aborted && performance.now() - abortedAt > SAME_SIGNAL_MS) process.exit(EXIT_INTERRUPTED)
      if (!controller.signal.aborted) abortedAt = performance.now()
      controller.abort()
    })
  }
  let abortedAt = 0
  return controller.signal
}

const SAME_SIGNAL_MS = 1_000

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
