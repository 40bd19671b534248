// `npm run bench`: compares the suite with minimal programs (the ceilings), with the same services in another framework
// (the peers) and with another source tree. The rounds alternate on private servers.
// Exit codes: 0 measured · 1 a process failed or did not respond · 64 usage.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Servers, startServers } from 'testkit'
import type { Bench, Extent, Scenario } from './bench.ts'
import { OTHER_TREE, OURS } from './measured.ts'
import { installPeers, PEERS } from './peers.ts'
import { Processes, ROOT } from './processes.ts'
import { emptyResult, type Result, readResult } from './result.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { prepare, type Stage, treeAt } from './stage.ts'
import { table } from './table.ts'
import { writeResult } from './write-result.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 64
const USAGE = `usage: npm run bench -- [SCENARIO ...] [--quick] [--compare FILE] [--root DIRECTORY] [--without-peers]
  SCENARIO         one or more of these, by default all:
${SCENARIOS.map(({ name, about }) => `                   ${name.padEnd(8)} ${about}`).join('\n')}
  --quick          one short round of each scenario, to check that it works. Its figures mean nothing
  --compare        the JSON file of an earlier run. Its ratios are shown next to the new ones
  --root           another clone of this project, after npm ci. Its rounds alternate with those of this one
  --without-peers  does not measure NestJS, and needs no package registry
Prints the result, and writes it to .local/bench as JSON and as one HTML file with plots.
`
const FULL: Extent = {
  rounds: 3,
  loadS: 4,
  warmUpS: 1,
  openLoopS: 10,
  drained: 40_000,
  drainedByPeer: 4_000,
  adjusted: 20_000,
  listed: 100_000,
  listedLong: 1_000_000,
  growth: [1_000, 100_000, 1_000_000, 3_000_000],
  backlogs: [40_000, 200_000, 1_000_000],
  inbox: 10_000_000,
  deadLetters: 100_000,
  idleS: 5,
}
const QUICK: Extent = {
  rounds: 1,
  loadS: 1,
  warmUpS: 1,
  openLoopS: 1,
  drained: 2_000,
  drainedByPeer: 200,
  adjusted: 1_000,
  listed: 5_000,
  listedLong: 20_000,
  growth: [1_000, 10_000],
  backlogs: [2_000, 10_000],
  inbox: 10_000,
  deadLetters: 1_000,
  idleS: 0,
}

const startedMs = performance.now()
const report = (line: string) => {
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0).padStart(5)
  process.stderr.write(`${seconds} s  ${line}\n`)
}

const given = readOptions(process.argv.slice(2))
if (given === 'help') process.stdout.write(USAGE)
else if (typeof given === 'string') {
  process.stderr.write(`✗ ${given}\n${USAGE}`)
  process.exitCode = EXIT_USAGE
} else process.exitCode = await main(given)

async function main(options: Given): Promise<number> {
  await mkdir(join(ROOT, '.local'), { recursive: true })
  const directory = await mkdtemp(join(ROOT, '.local', 'bench-'))
  const processes = new Processes()
  const stages: Stage[] = []
  let servers: Servers | undefined
  try {
    const before = options.compare === undefined ? undefined : await readResult(options.compare)
    if (!options.isWithoutPeers) await installPeers(report)
    report('starting private servers')
    servers = await startServers({ directory, lifetime: 'process', onProgress: report })
    const ready = servers
    const measure = async () => {
      const ours = await prepare(ready, processes, OURS, ROOT)
      stages.push(ours)
      if (options.root !== undefined) stages.push(await prepare(ready, processes, OTHER_TREE, options.root))
      const bench = {
        stages: [ours, ...stages.slice(1)],
        extent: options.isQuick ? QUICK : FULL,
        peers: options.isWithoutPeers ? [] : PEERS,
      } as const
      await measureAll(ready, bench, options, before)
    }
    await Promise.race([measure(), processes.failed, interrupted()])
    return 0
  } catch (error) {
    report(`✗ ${error instanceof Error ? error.message : String(error)}`)
    return EXIT_FAILURE
  } finally {
    processes.endAll()
    for (const stage of stages) await stage.close().catch(() => {})
    await servers?.close({ deleteData: true })
    await rm(directory, { recursive: true, force: true })
  }
}

/** Writes the files after each scenario, so that an interrupted run keeps its results so far. */
async function measureAll(
  servers: Servers,
  bench: Omit<Bench, 'progress'>,
  { scenarios, isQuick, command }: Given,
  before: Result | undefined,
): Promise<void> {
  let result = await emptyResult(servers, { command, isQuick, rounds: bench.extent.rounds })
  let files: readonly string[] = []
  for (const [index, { name, measure }] of scenarios.entries()) {
    const progress = (line: string) => report(`[${index + 1}/${scenarios.length}] ${line}`)
    progress(name)
    result = { ...result, rows: [...result.rows, ...(await measure({ ...bench, progress }))] }
    files = await writeResult(result, before)
  }
  const versions = Object.entries(result.versions).map(([name, version]) => `${name} ${version}`)
  const rounds = isQuick
    ? 'One short round: these figures mean nothing.'
    : `Medians of ${result.rounds} alternating rounds.`
  process.stdout.write(`${rounds} ${result.machine}; ${versions.join(', ')}.\n\n${table(result.rows, before?.rows)}\n`)
  report(`written: ${files.join(' and ')}`)
}

interface Given {
  readonly scenarios: readonly Scenario[]
  readonly root: string | undefined
  readonly compare: string | undefined
  readonly isQuick: boolean
  readonly isWithoutPeers: boolean
  /** The command line that repeats this run. */
  readonly command: string
}

function readOptions(args: readonly string[]): Given | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        root: { type: 'string' },
        compare: { type: 'string' },
        quick: { type: 'boolean' },
        'without-peers': { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
    if (values.help) return 'help'
    const unknown = positionals.find((wanted) => !SCENARIOS.some(({ name }) => name === wanted))
    if (unknown !== undefined) return `there is no scenario ${unknown}`
    return {
      scenarios: SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name)),
      root: values.root === undefined ? undefined : treeAt(values.root),
      compare: values.compare,
      isQuick: values.quick === true,
      isWithoutPeers: values['without-peers'] === true,
      command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Rejects at the first signal, so that the servers are stopped before the process exits. */
function interrupted(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`interrupted by ${signal}`)))
  })
}
