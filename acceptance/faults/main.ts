// `npm run faults`: the fault ledger on private servers. Exit codes: 0 no violation · 1 a violation or a failed run · 64 usage ·
// 130 interrupted.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commitOf, startGalera, startServers, withoutGalera } from 'testkit'
import { ROOT } from '../test/stack.ts'
import { interruptedBySignals, say } from './command-line.ts'
import { commandOf, faultsOf, type Given, mutationOf, readOptions, USAGE } from './options.ts'
import { page } from './page.ts'
import { type About, recordOf, violationsOf } from './record.ts'
import { roundLine, rowLine, summaryLine, violationLines } from './report.ts'
import { LONG_RUN_MINUTES, type Run, type RunOptions, Unfinished } from './run.ts'
import { finishedOrNot, smallerRun } from './smaller-run.ts'

const EXIT_USAGE = 64
const EXIT_INTERRUPTED = 130

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE)
    return 0
  }
  const given = readOptions(args)
  if (typeof given === 'string') return wrongUsage(given)
  const mix = faultsOf(given)
  if (mix.length === 0) return wrongUsage(`--mix: no fault has a name that contains ${given.mix}`)
  const { seed, minutes, clients, only, database } = given
  const mutation = mutationOf(given)
  const interrupted = interruptedBySignals()
  const parent = join(ROOT, '.local')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'faults-'))
  const onProgress = (text: string) => say(`… ${text}`)
  const why = database === 'galera' ? withoutGalera() : undefined
  if (why !== undefined) throw new Error(`no Galera cluster can run here: ${why}`)
  const galera = database === 'galera' ? await startGalera(join(directory, 'galera')) : undefined
  const starting = startServers({ directory, lifetime: 'process', onProgress })
  const single = await starting.catch(async (error) => {
    await galera?.end()
    throw error
  })
  // The ledger reads from the first node, and must see the commits of the other nodes.
  await galera?.nodes[0].sql('SET GLOBAL wsrep_sync_wait = 7')
  const servers = galera ? { ...single, mysql: galera.nodes[0] } : single
  try {
    const about = {
      seed,
      commit: await commitOf(ROOT),
      servers: `RabbitMQ ${servers.rabbitmq.version}, ${databaseLine(servers.mysql.version)}`,
    }
    say(`${about.servers}, ${servers.mode}, seed ${seed}`)
    return await ledger(given, about, {
      servers,
      seed,
      minutes,
      clients,
      mix,
      ...(only === undefined ? {} : { only }),
      ...(galera === undefined ? {} : { cluster: galera.nodes }),
      ...(mutation === undefined ? {} : { mutation }),
      onRound: (round) => say(roundLine(round)),
      interrupted,
    })
  } catch (error) {
    if (interrupted.aborted) {
      say('✗ interrupted: not everything was checked')
      return EXIT_INTERRUPTED
    }
    say(`✗ seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return 1
  } finally {
    await galera?.end()
    await servers.close({ deleteData: true })
    rmSync(directory, { recursive: true, force: true })
  }
}

type Known = Pick<About, 'seed' | 'commit' | 'servers'>

/** Runs the ledger, shrinks a failed run, and writes the report. Resolves with the exit code. */
async function ledger(given: Given, known: Known, options: RunOptions): Promise<number> {
  const write = reporter(given, known)
  const run = await finishedOrNot(options)
  for (const line of linesOf(run)) say(line)
  const isRight = violationsOf(run).length === 0
  // The report is written before the run is shrunk, because shrinking may be interrupted.
  write('report.html', run, given.only)
  if (!isRight && !given['no-shrink']) {
    say('… the run failed. Searching for fewer faults that still make it fail')
    const { smallest, runs } = await smallerRun(run, options, (text) => say(`… ${text}`))
    if (smallest) {
      const { only, failure } = smallest
      const shrunk = `${runs} runs with fewer faults; the smallest that failed is ${commandOf(given, only)}`
      for (const line of linesOf(failure)) say(line)
      say(`… ${shrunk}`)
      write('report-whole-run.html', run, given.only, shrunk)
      write('report.html', failure, only, `from the run ${commandOf(given, given.only)}`)
    } else {
      const shrunk = `not reproduced: none of ${runs} runs with fewer faults failed in the same way`
      say(`… ${shrunk}`)
      write('report.html', run, given.only, shrunk)
    }
  }
  process.stdout.write(`${isRight ? '✓' : '✗'} ${summaryOf(run, given.seed)}\n`)
  const isWhole = given.only === undefined && given.mutation === undefined
  if (!(run instanceof Unfinished) && isWhole && given.minutes >= LONG_RUN_MINUTES)
    process.stdout.write(`the row for docs/faults.md:\n${rowLine(run, known)}\n`)
  return isRight ? 0 : 1
}

/** Returns a function that writes reports to the directory of this run. */
function reporter(given: Given, known: Known) {
  const now = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
  const directory = join(ROOT, '.local', 'faults', `${now}-seed-${given.seed}`)
  mkdirSync(directory, { recursive: true })
  return (name: string, run: Run | Unfinished, only: readonly number[] | undefined, shrunk?: string) => {
    const file = join(directory, name)
    const about = { ...known, command: commandOf(given, only), summary: summaryOf(run, given.seed) }
    writeFileSync(file, page(recordOf(run, { ...about, ...(shrunk === undefined ? {} : { shrunk }) })))
    say(`… written: ${file}`)
  }
}

function* linesOf(run: Run | Unfinished): Generator<string> {
  if (run instanceof Unfinished) return yield `✗ ${run.cause instanceof Error ? run.cause.stack : run.message}`
  yield* violationLines(run)
  yield [...run.history.results]
    .sort()
    .map(([answer, count]) => `${answer}: ${count}`)
    .join(', ')
  yield [...run.peakBytes].map(([name, bytes]) => `${name} ${(bytes / 1024 / 1024).toFixed(0)} MiB at most`).join(', ')
}

function summaryOf(run: Run | Unfinished, seed: number): string {
  return run instanceof Unfinished ? `nothing was checked: ${run.message} · seed ${seed}` : summaryLine(run, seed)
}

function databaseLine(version: string): string {
  return /mariadb/i.test(version) ? `MariaDB ${version.split('-')[0]}` : `MySQL ${version}`
}

function wrongUsage(why: string): number {
  process.stderr.write(`✗ ${why}\n${USAGE}`)
  return EXIT_USAGE
}
