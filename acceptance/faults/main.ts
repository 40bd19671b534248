// `npm run faults`: the fault ledger on private servers. Exit codes: 0 nothing lost or duplicated · 1 something was · 64 usage.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startGalera, startServers, withoutGalera } from 'testkit'
import { z } from 'zod'
import { ROOT } from '../test/stack.ts'
import { faults, faultsOfCluster, mixOf } from './faults/index.ts'
import { mutations } from './mutations.ts'
import { roundLine, summaryLine, violationLines } from './report.ts'
import { runLedger } from './run.ts'

const EXIT_USAGE = 64
const NAMES = mutations.map(({ name }) => name)
const USAGE = `usage: npm run faults -- [--seed N] [--minutes M] [--clients N] [--mix WORD,WORD] [--mutation NAME] [--database galera]
  --mix       only faults whose kind contains one of the words; there are:
              ${faults.map(({ kind }) => kind).join(', ')}
  --database  galera: on a MariaDB cluster of three nodes instead of one server, with these faults:
              ${faultsOfCluster.map(({ kind }) => kind).join(', ')}
  --mutation  takes a guarantee away first, after which the ledger must find harm: ${NAMES.join(', ')}
`

const number = z.string().transform(Number)
const options = z.object({
  seed: number.pipe(z.int().min(0)).optional(),
  minutes: number.pipe(z.number().positive()).default(2),
  clients: number.pipe(z.int().min(1).max(100)).default(12),
  mix: z.string().default(''),
  mutation: z.enum(NAMES).optional(),
  database: z.enum(['galera']).optional(),
})

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const given = readOptions(args)
  if (typeof given === 'string') {
    process.stderr.write(`✗ ${given}\n${USAGE}`)
    return EXIT_USAGE
  }
  const { seed = Math.floor(Math.random() * 2 ** 31), minutes, clients, mix, mutation, database } = given
  const wanted = mutations.find(({ name }) => name === mutation)
  const words = mix.split(',').filter((word) => word !== '')
  const chosen = mixOf(
    words.length > 0 ? words : (wanted?.mix ?? []),
    database === undefined ? faults : faultsOfCluster,
  )
  if (chosen.length === 0) {
    process.stderr.write(`✗ --mix: no fault has ${mix} in its name\n${USAGE}`)
    return EXIT_USAGE
  }
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
  // The ledger reads what the other nodes have committed.
  await galera?.nodes[0].sql('SET GLOBAL wsrep_sync_wait = 7')
  const servers = galera ? { ...single, mysql: galera.nodes[0] } : single
  try {
    say(`RabbitMQ ${servers.rabbitmq.version}, MySQL ${servers.mysql.version}, ${servers.mode}, seed ${seed}`)
    const run = await runLedger({
      servers,
      seed,
      minutes,
      clients,
      mix: chosen,
      ...(galera === undefined ? {} : { cluster: galera.nodes }),
      ...(wanted === undefined ? {} : { mutation: wanted }),
      onRound: (round) => say(roundLine(round)),
      interrupted: interruptedBySignals(),
    })
    for (const line of violationLines(run)) say(line)
    say(
      [...run.history.answers]
        .sort()
        .map(([answer, count]) => `${answer}: ${count}`)
        .join(', '),
    )
    say([...run.peakBytes].map(([name, bytes]) => `${name} ${(bytes / 1024 / 1024).toFixed(0)} MiB at most`).join(', '))
    process.stdout.write(`${run.judgement.violations.length === 0 ? '✓' : '✗'} ${summaryLine(run, seed)}\n`)
    return run.judgement.violations.length === 0 ? 0 : 1
  } catch (error) {
    say(`✗ seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return 1
  } finally {
    await galera?.end()
    await servers.close({ deleteData: true })
    rmSync(directory, { recursive: true, force: true })
  }
}

function readOptions(args: string[]): z.infer<typeof options> | string {
  try {
    const text = { type: 'string' } as const
    const { values } = parseArgs({
      args,
      options: { seed: text, minutes: text, clients: text, mix: text, mutation: text, database: text },
    })
    const { data, error } = options.safeParse(values)
    return data ?? error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('; ')
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Shuts the run down in order. Servers and services that nobody stops would run for ever. */
function interruptedBySignals(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (!controller.signal.aborted) say('… interrupted: healing and stopping')
      controller.abort(new Error('interrupted'))
    })
  return controller.signal
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
