// One run: load, rounds of faults, repair, draining, check.
import { queues } from '@ims/accounts/suite'
import type { Mysql, Servers } from 'testkit'
import { readAudit } from './audit.ts'
import { becomesTrue, messagesIn } from './faults/broker.ts'
import type { Fault, Scene } from './faults/fault.ts'
import { History } from './history.ts'
import { type Found, type Judgement, judge } from './ledger.ts'
import type { Mutation } from './mutations.ts'
import { type Round, strikeRound } from './nemesis.ts'
import { randomOf } from './random.ts'
import { type Planned, scheduleOf } from './schedule.ts'
import { startClients } from './workload/clients.ts'
import { crowd, scenarios } from './workload/scenarios.ts'
import { allReady, startWorld, type World } from './world.ts'

/** The resident memory that no service may reach, which is its container's limit (dockercompose/docker-compose.yml). */
export const MEMORY_MAX_BYTES = 256 * 1024 * 1024
const DRAINED_WITHIN_MS = 120_000
/** Clients that play each scenario at the end. */
const CROWD = 5
const SAME_WITHIN_MS = 30_000
const MINUTE_MS = 60_000
/** A run of at least this length includes the fault that lasts a minute. */
export const LONG_RUN_MINUTES = 5

export interface RunOptions {
  readonly servers: Servers
  readonly seed: number
  readonly minutes: number
  /** Continues until this many kinds of faults were seen, if a busy machine did not manage them in `minutes`. */
  readonly kindsMin?: number
  /** Only the faults with these numbers. The run ends with the last of them, whatever `minutes` says. */
  readonly only?: readonly number[]
  readonly mix: readonly Fault[]
  readonly clients: number
  readonly mutation?: Mutation
  /** The nodes of a database cluster. The first is the one in `servers`. */
  readonly cluster?: readonly Mysql[]
  readonly onRound?: (round: Round) => void
  /** Aborts the run: it is repaired and stopped, and rejects. */
  readonly interrupted?: AbortSignal
}

export interface Run {
  readonly history: History
  readonly rounds: readonly Round[]
  readonly found: Found
  readonly judgement: Judgement
  readonly repeated: number
  readonly peakBytes: ReadonlyMap<string, number>
  /** The log of all services. */
  readonly lines: readonly Record<string, unknown>[]
}

/** The suite did not recover or drain, or the run was interrupted. Nothing was checked. */
export class Unfinished extends Error {
  readonly history: History
  readonly rounds: readonly Round[]
  readonly lines: Run['lines']

  constructor(cause: unknown, { history, rounds, lines }: Pick<Run, 'history' | 'rounds' | 'lines'>) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.history = history
    this.rounds = rounds
    this.lines = lines
  }
}

/** Runs for `minutes`, then repairs, drains and checks. Rejects with `Unfinished` if that was not possible. */
export async function runLedger(options: RunOptions): Promise<Run> {
  const world = await startWorld(options.servers, options)
  const history = new History()
  const rounds: Round[] = []
  const lines = () => world.replicas.flatMap((name) => world.stack.lines(name))
  try {
    await strikeUnderLoad(world, history, rounds, options)
    await playInCalm(world, history, options)
    const found = await findAll(world, options.interrupted)
    const { peakBytes } = world
    return {
      history,
      rounds,
      found,
      judgement: judge(history, { ...found, unwell: [...found.unwell, ...tooLarge(peakBytes)] }),
      repeated: world.repeated(),
      peakBytes,
      lines: lines(),
    }
  } catch (error) {
    throw new Unfinished(error, { history, rounds, lines: lines() })
  } finally {
    await world.stop()
  }
}

/** Adds rounds of faults until the time is over, with all clients running. At the end no client is running. */
async function strikeUnderLoad(
  world: World,
  history: History,
  rounds: Round[],
  {
    seed,
    minutes,
    kindsMin = 0,
    only,
    mix,
    clients: count,
    onRound = () => {},
    interrupted = new AbortController().signal,
  }: RunOptions,
): Promise<void> {
  const random = randomOf(seed)
  const sender = { http: world.stack.http, channel: () => world.stack.channel, history }
  const clients = startClients(sender, random.fork(), count)
  const schedule = scheduleOf(random.fork(), mix)
  const scene: Scene = { world, clients, sender, random: random.fork(), interrupted }
  const isLong = minutes >= LONG_RUN_MINUTES && mix.some(({ group }) => group === 'database')
  const isWanted = ({ number }: Planned) => only?.includes(number) ?? (number > 0 || isLong)
  const isOver = (next: number) =>
    only === undefined
      ? history.nowMs() >= minutes * MINUTE_MS && kindsIn(rounds) >= kindsMin
      : only.every((number) => number < next)
  try {
    for (const planned of schedule) {
      if (isOver(planned[0].number)) break
      const wanted = planned.filter(isWanted)
      if (wanted.length === 0) continue
      const atMs = history.nowMs()
      const round = await strikeRound(scene, wanted).catch((error) => {
        rounds.push(unrecovered(wanted, atMs, history.nowMs()))
        throw error
      })
      rounds.push(round)
      onRound(round)
      interrupted.throwIfAborted()
    }
  } finally {
    clients.resume()
    await clients.stop()
  }
}

const unrecovered = (planned: readonly Planned[], atMs: number, endedMs: number): Round => ({
  atMs,
  endedMs,
  faults: planned.map(({ number, fault: { kind, group } }) => {
    return { number, kind, group, note: 'not recovered', tookEffect: true, fromMs: atMs, untilMs: endedMs }
  }),
  recoveryMs: 0,
})

const kindsIn = (rounds: readonly Round[]): number =>
  new Set(rounds.flatMap(({ faults }) => faults.filter(({ tookEffect }) => tookEffect).map(({ kind }) => kind))).size

/** Every scenario once more, without faults that could explain a second dead letter. */
async function playInCalm(world: World, history: History, { seed, interrupted }: RunOptions): Promise<void> {
  await drained(world, interrupted)
  const sender = { http: world.stack.http, channel: () => world.stack.channel, history }
  const random = randomOf(seed)
  for (const scenario of scenarios) await crowd(sender, random, scenario, CROWD)
}

async function drained(world: World, interrupted?: AbortSignal): Promise<void> {
  await allReady(world, DRAINED_WITHIN_MS, interrupted)
  await becomesTrue(async () => (await undrained(world)).length === 0, DRAINED_WITHIN_MS, interrupted)
  interrupted?.throwIfAborted()
}

/** Waits until nothing is in flight any more, then collects all data. */
export async function findAll(world: World, interrupted?: AbortSignal): Promise<Found> {
  const { stack } = world
  await drained(world, interrupted)
  const left = await undrained(world)
  const deadLetters: Found['deadLetters'][number][] = []
  for (const queue of Object.keys(queues))
    for (const { body, headers, messageId } of await stack.deadLetters(queue))
      deadLetters.push({
        queue,
        body,
        messageId: typeof messageId === 'string' ? messageId : undefined,
        reason: String(headers['x-reason'] ?? 'set aside by the broker'),
        error: String(headers['x-error'] ?? ''),
      })
  const unwell: string[] = []
  for (const name of world.replicas) {
    const why = await stack.service(name).notReady()
    if (why !== undefined) unwell.push(`${name}: ${why}`)
  }
  unwell.push(...(await nodesThatDiffer(world)))
  return { ...(await readAudit(stack.pool)), logged: healthchecksLogged(world), deadLetters, left, unwell }
}

/** Nodes whose data differs from the first one's. A node that has just joined may reject queries for a while. */
async function nodesThatDiffer({ cluster, stack }: World): Promise<string[]> {
  const { database } = stack.space.mysql
  const tables = ['inventory', 'inbox', 'movement', 'effect'].map((table) => `\`${database}\`.${table}`)
  const sumOf = (node: Mysql) => node.sql(`CHECKSUM TABLE ${tables.join(', ')}`)
  let differ = cluster.slice(1).map((_, index) => `node ${index + 2} did not answer`)
  await becomesTrue(async () => {
    const [first, ...others] = await Promise.all(cluster.map(sumOf))
    differ = others.flatMap((sum, index) => (sum === first ? [] : [`node ${index + 2} has ${sum} instead of ${first}`]))
    return differ.length === 0
  }, SAME_WITHIN_MS)
  return differ
}

async function undrained(world: World): Promise<string[]> {
  const counts = [...(await messagesIn({ world }))].filter(([name]) => !name.endsWith('.dead-letter'))
  return counts.filter(([, count]) => count > 0).map(([name, count]) => `${count} messages of ${name}`)
}

function healthchecksLogged({ stack, replicas }: World): Map<string, number> {
  const logged = new Map<string, number>()
  const named = replicas.filter((name) => name.startsWith('consumer_one'))
  for (const { message, messageId } of named.flatMap((name) => stack.lines(name)))
    if (message === 'health check received' && typeof messageId === 'string')
      logged.set(messageId, (logged.get(messageId) ?? 0) + 1)
  return logged
}

const tooLarge = (peakBytes: ReadonlyMap<string, number>): string[] =>
  [...peakBytes]
    .filter(([, bytes]) => bytes > MEMORY_MAX_BYTES)
    .map(([name, bytes]) => `${name} grew to ${Math.round(bytes / 1024 / 1024)} MiB`)
