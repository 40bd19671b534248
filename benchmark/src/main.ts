// `npm run bench`: the suite against bare ceilings, and another tree of it, interleaved on private servers, as a table of ratios.
// Exit codes: 0 measured · 1 something ended or did not answer · 64 usage.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startServers } from 'local'
import { Processes, ROOT } from './processes.ts'
import { acceptRounds, drainRounds, type Extent, idleMemory, listingRounds, refusalRounds } from './scenarios.ts'
import { prepare, type Stage, treeAt } from './stage.ts'
import { OURS, type Row, table } from './table.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 64
const OTHER = 'other tree'
const USAGE = `usage: npm run bench -- [--root DIRECTORY] [--quick]
  --root   another clone of this project, installed by npm ci: measured as well, in turn with this one
  --quick  one short round of everything, to see that it works: its figures mean nothing
`
const FULL: Extent = { rounds: 3, loadS: 5, warmUpS: 2, drained: 40_000, refused: 10_000, idleS: 5 }
const QUICK: Extent = { rounds: 1, loadS: 1, warmUpS: 1, drained: 2_000, refused: 500, idleS: 0 }

const say = (line: string) => process.stderr.write(`${line}\n`)

const given = readOptions(process.argv.slice(2))
if (typeof given === 'string') {
  say(`✗ ${given}\n${USAGE}`)
  process.exitCode = EXIT_USAGE
} else process.exitCode = await main(given)

async function main({ root, isQuick }: Given): Promise<number> {
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
      return await rowsOf([ours, ...stages.slice(1)], isQuick ? QUICK : FULL)
    }
    const rows = await Promise.race([measure(), processes.failed, interrupted()])
    process.stdout.write(`${table(rows, onMachine, root === undefined ? undefined : OTHER)}\n`)
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

async function rowsOf(stages: readonly [Stage, ...Stage[]], extent: Extent): Promise<Row[]> {
  const rows: Row[] = []
  say('accept: POST /create_item, 64 connections')
  rows.push({
    what: 'accept `POST /create_item`, 64 connections (requests/s)',
    figures: await acceptRounds(stages, extent),
    target: { leastRatio: 0.8 },
  })
  const messages = extent.drained.toLocaleString('en')
  say(`drain: ${messages} create messages`)
  rows.push({
    what: `drain ${messages} create messages (messages/s)`,
    figures: await drainRounds(stages, extent),
    target: { leastRatio: 0.7 },
  })
  const refused = extent.refused.toLocaleString('en')
  say(`refuse: ${refused} create messages`)
  rows.push({ what: `refuse ${refused} duplicates (messages/s)`, figures: await refusalRounds(stages, extent) })
  for (const { connections, leastRatio } of [
    { connections: 1, leastRatio: 0.7 },
    { connections: 16, leastRatio: 1 },
  ]) {
    say(`list: GET /order_processing of 1,000 items, ${connections} connection(s)`)
    rows.push({
      what: `list 1,000 items, ${connections} connection(s) (requests/s)`,
      figures: await listingRounds(stages, connections, extent),
      target: { leastRatio },
    })
  }
  say('memory: five services, idle')
  rows.push(...(await idleMemory(stages, extent)))
  return rows
}

interface Given {
  readonly root: string | undefined
  readonly isQuick: boolean
}

function readOptions(args: readonly string[]): Given | string {
  try {
    const { values } = parseArgs({ args: [...args], options: { root: { type: 'string' }, quick: { type: 'boolean' } } })
    return { root: values.root === undefined ? undefined : treeAt(values.root), isQuick: values.quick === true }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Rejects at the first signal: servers that nobody stops would go on for ever. */
function interrupted(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`interrupted by ${signal}`)))
  })
}
