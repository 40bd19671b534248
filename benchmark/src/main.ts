// `npm run bench`: measures the suite against minimal programs (the ceilings) and against another source tree. The
// rounds alternate on private servers; the result is a table of ratios.
// Exit codes: 0 measured · 1 a process ended or did not answer · 64 usage.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startServers } from 'testkit'
import { Processes, ROOT } from './processes.ts'
import {
  acceptRounds,
  adjustRounds,
  badRounds,
  drainRounds,
  type Extent,
  idleMemory,
  listingRounds,
  type Rounds,
  refusalRounds,
} from './scenarios.ts'
import { BAD, type Bad, prepare, type Stage, treeAt } from './stage.ts'
import { OURS, type Row, table } from './table.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 64
const OTHER = 'other tree'
const USAGE = `usage: npm run bench -- [SCENARIO ...] [--root DIRECTORY] [--quick]
  SCENARIO one or more of: accept, drain, adjust, bad, refuse, list, memory. All of them when left out.
  --root   another clone of this project, installed by npm ci: measured as well, in turn with this one
  --quick  one short round of everything, to see that it works: its figures mean nothing
`
const FULL: Extent = { rounds: 3, loadS: 5, warmUpS: 2, drained: 40_000, refused: 10_000, adjusted: 20_000, idleS: 5 }
const QUICK: Extent = { rounds: 1, loadS: 1, warmUpS: 1, drained: 2_000, refused: 500, adjusted: 1_000, idleS: 0 }

const say = (line: string) => process.stderr.write(`${line}\n`)

/** The scenarios, by their name on the command line. */
const SCENARIOS: Readonly<
  Record<string, (stages: readonly [Stage, ...Stage[]], extent: Extent) => Promise<readonly Row[]>>
> = {
  accept: async (stages, extent) =>
    rows('accept `POST /create_item`, 64 connections', 'requests', await acceptRounds(stages, extent), 0.8),
  drain: async (stages, extent) =>
    rows(`drain ${counted(extent.drained)} create messages`, 'messages', await drainRounds(stages, extent), 0.7),
  refuse: async (stages, extent) =>
    rows(`refuse ${counted(extent.refused)} duplicates`, 'messages', await refusalRounds(stages, extent)),
  adjust: async (stages, extent) => {
    const { deadlocks, ...measured } = await adjustRounds(stages, extent)
    const what = `sell one item ${counted(extent.adjusted)} times, two replicas`
    return [
      ...rows(what, 'messages', measured),
      { what: 'deadlocks', figures: new Map([[OURS, [deadlocks]]]), target: { max: 0 } },
    ]
  },
  bad: async (stages, extent) => {
    const measured: Row[] = []
    for (const how of Object.keys(BAD) as Bad[])
      for (const [of20, minRatio] of [
        [2, 0.5],
        [10, 0.25],
      ] as const) {
        const what = `drain ${counted(extent.drained)} creates of which ${of20 * 5} % ${how}, against good ones`
        measured.push(...rows(what, 'messages', await badRounds(stages, extent, { how, of20 }), minRatio))
      }
    return measured
  },
  list: async (stages, extent) => [
    ...rows('list 1,000 items, 1 connection', 'requests', await listingRounds(stages, 1, extent), 0.7),
    ...rows('list 1,000 items, 16 connections', 'requests', await listingRounds(stages, 16, extent), 1),
  ],
  memory: idleMemory,
}

const counted = (messages: number) => messages.toLocaleString('en')

function rows(what: string, unit: string, { perSecond, cpuUs }: Rounds, minRatio?: number): Row[] {
  return [
    {
      what: `${what} (${unit}/s)`,
      figures: perSecond,
      ...(minRatio === undefined ? {} : { target: { minRatio } }),
    },
    { what: `CPU of the process that does it (µs for each of the ${unit})`, figures: cpuUs },
  ]
}

const given = readOptions(process.argv.slice(2))
if (typeof given === 'string') {
  say(`✗ ${given}\n${USAGE}`)
  process.exitCode = EXIT_USAGE
} else process.exitCode = await main(given)

async function main({ names, root, isQuick }: Given): Promise<number> {
  await mkdir(join(ROOT, '.local'), { recursive: true })
  const directory = await mkdtemp(join(ROOT, '.local', 'bench-'))
  const processes = new Processes()
  const stages: Stage[] = []
  say('starting private servers')
  const servers = await startServers({ directory, lifetime: 'process', onProgress: say })
  try {
    const onMachine = `RabbitMQ ${servers.rabbitmq.version}, ${servers.mysql.version}, Node ${process.version}`
    const measure = async () => {
      const ours = await prepare(servers, processes, OURS, ROOT)
      stages.push(ours)
      if (root !== undefined) stages.push(await prepare(servers, processes, OTHER, root))
      return await rowsOf([ours, ...stages.slice(1)], isQuick ? QUICK : FULL, names)
    }
    const measured = await Promise.race([measure(), processes.failed, interrupted()])
    process.stdout.write(`${table(measured, onMachine, root === undefined ? undefined : OTHER)}\n`)
    return 0
  } catch (error) {
    say(`✗ ${error instanceof Error ? error.message : String(error)}`)
    return EXIT_FAILURE
  } finally {
    processes.endAll()
    for (const stage of stages) await stage.close().catch(() => {})
    await servers.close({ deleteData: true })
    await rm(directory, { recursive: true, force: true })
  }
}

async function rowsOf(
  stages: readonly [Stage, ...Stage[]],
  extent: Extent,
  names: readonly string[],
): Promise<readonly Row[]> {
  const measured: Row[] = []
  for (const [name, measure] of Object.entries(SCENARIOS)) {
    if (names.length > 0 && !names.includes(name)) continue
    say(`measuring: ${name}`)
    measured.push(...(await measure(stages, extent)))
  }
  return measured
}

interface Given {
  /** Names of scenarios. Empty means all. */
  readonly names: readonly string[]
  readonly root: string | undefined
  readonly isQuick: boolean
}

function readOptions(args: readonly string[]): Given | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { root: { type: 'string' }, quick: { type: 'boolean' } },
    })
    const unknown = positionals.find((name) => !Object.hasOwn(SCENARIOS, name))
    if (unknown !== undefined) return `there is no scenario ${unknown}; there are ${Object.keys(SCENARIOS).join(', ')}`
    const root = values.root === undefined ? undefined : treeAt(values.root)
    return { names: positionals, root, isQuick: values.quick === true }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Rejects at the first signal, because servers that nobody stops would run for ever. */
function interrupted(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`interrupted by ${signal}`)))
  })
}
