// One run of the ledger: load, rounds of faults, repair, draining, and the check.
import { queues } from '@ims/accounts/suite'
import type { Mysql, Servers } from 'testkit'
import { readAudit } from './audit.ts'
import { becomesTrue, messagesIn } from './faults/broker.ts'
import type { Fault, Scene } from './faults/fault.ts'
import { History } from './history.ts'
import { type Found, type Judgement, judge } from './ledger.ts'
import type { Mutation } from './mutations.ts'
import { injectRound, type Round } from './nemesis.ts'
import { randomOf } from './random.ts'
import { type Planned, scheduleOf } from './schedule.ts'
import { allReady, startTestbed, type Testbed } from './testbed.ts'
import { startClients } from './workload/clients.ts'
import { crowd, scenarios } from './workload/scenarios.ts'

/** The maximum resident memory of a service: the limit of its container (dockercompose/docker-compose.yml). */
export const MEMORY_MAX_BYTES = 256 * 1024 * 1024
const DRAINED_WITHIN_MS = 120_000
/** The number of clients that play each scenario at the end. */
const CROWD = 5
const SAME_WITHIN_MS = 30_000
const MINUTE_MS = 60_000
/** A run of at least this length includes the fault that lasts a minute. */
export const LONG_RUN_MINUTES = 5

export interface RunOptions {
  readonly servers: Servers
  readonly seed: number
  readonly minutes: number
  /** Continues after `minutes` until this many kinds of faults took effect. A busy machine needs more time for them. */
  readonly kindsMin?: number
  /** Injects only the faults with these numbers. The run then ends after the last of them, and `minutes` has no effect. */
  readonly only?: readonly number[]
  readonly mix: readonly Fault[]
  readonly clients: number
  readonly mutation?: Mutation
  /** The nodes of a database cluster. The first is the one in `servers`. */
  readonly cluster?: readonly Mysql[]
  readonly onRound?: (round: Round) => void
  /** Aborts the run: the faults are repaired, everything is stopped, and the run rejects. */
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

/** Thrown if the suite did not recover or drain, or if the run was interrupted. Nothing was checked. */
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

/** Runs for `minutes`, drains the queues, and checks the result. Rejects with `Unfinished` if it could not do all of this. */
export async function runLedger(options: RunOptions): Promise<Run> {
  const testbed = await startTestbed(options.servers, options)
  const history = new History()
  const rounds: Round[] = []
  const lines = () => testbed.replicas.flatMap((name) => testbed.stack.lines(name))
  try {
    await injectUnderLoad(testbed, history, rounds, options)
    await playInCalm(testbed, history, options)
    const found = await findAll(testbed, options.interrupted)
    const { peakBytes } = testbed
    return {
      history,
      rounds,
      found,
      judgement: judge(history, { ...found, unhealthy: [...found.unhealthy, ...tooLarge(peakBytes)] }),
      repeated: testbed.repeated(),
      peakBytes,
      lines: lines(),
    }
  } catch (error) {
    throw new Unfinished(error, { history, rounds, lines: lines() })
  } finally {
    await testbed.stop()
  }
}

/** Injects rounds of faults while all clients run, until the time is over. Then stops the clients. */
async function injectUnderLoad(
  testbed: Testbed,
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
  const sender = { http: testbed.stack.http, channel: () => testbed.stack.channel, history }
  const clients = startClients(sender, random.fork(), count)
  const schedule = scheduleOf(random.fork(), mix)
  const scene: Scene = { testbed, clients, sender, random: random.fork(), interrupted }
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
      const round = await injectRound(scene, wanted).catch((error) => {
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

/** Plays every scenario again, without faults that could explain a second dead letter. */
async function playInCalm(testbed: Testbed, history: History, { seed, interrupted }: RunOptions): Promise<void> {
  await drained(testbed, interrupted)
  const sender = { http: testbed.stack.http, channel: () => testbed.stack.channel, history }
  const random = randomOf(seed)
  for (const scenario of scenarios) await crowd(sender, random, scenario, CROWD)
}

async function drained(testbed: Testbed, interrupted?: AbortSignal): Promise<void> {
  await allReady(testbed, DRAINED_WITHIN_MS, interrupted)
  await becomesTrue(async () => (await undrained(testbed)).length === 0, DRAINED_WITHIN_MS, interrupted)
  interrupted?.throwIfAborted()
}

/** Waits until no message is in flight, then collects all data. */
export async function findAll(testbed: Testbed, interrupted?: AbortSignal): Promise<Found> {
  const { stack } = testbed
  await drained(testbed, interrupted)
  const left = await undrained(testbed)
  const deadLetters: Found['deadLetters'][number][] = []
  for (const queue of Object.keys(queues))
    for (const { body, headers, messageId } of await stack.deadLetters(queue))
      deadLetters.push({
        queue,
        body,
        messageId: typeof messageId === 'string' ? messageId : undefined,
        reason: String(headers['x-reason'] ?? 'dead-lettered by the broker'),
        error: String(headers['x-error'] ?? ''),
      })
  const unhealthy: string[] = []
  for (const name of testbed.replicas) {
    const why = await stack.service(name).notReady()
    if (why !== undefined) unhealthy.push(`${name}: ${why}`)
  }
  unhealthy.push(...(await nodesThatDiffer(testbed)))
  return { ...(await readAudit(stack.pool)), logged: healthchecksLogged(testbed), deadLetters, left, unhealthy }
}

/** One text for each node whose data differs from that of the first. A node that has just joined may reject queries for a while. */
async function nodesThatDiffer({ cluster, stack }: Testbed): Promise<string[]> {
  const { database } = stack.space.mysql
  const tables = ['inventory', 'inbox', 'movement', 'effect'].map((table) => `\`${database}\`.${table}`)
  const sumOf = (node: Mysql) => node.sql(`CHECKSUM TABLE ${tables.join(', ')}`)
  let differ = cluster.slice(1).map((_, index) => `node ${index + 2} did not respond`)
  await becomesTrue(async () => {
    const [first, ...others] = await Promise.all(cluster.map(sumOf))
    differ = others.flatMap((sum, index) => (sum === first ? [] : [`node ${index + 2} has ${sum} instead of ${first}`]))
    return differ.length === 0
  }, SAME_WITHIN_MS)
  return differ
}

async function undrained(testbed: Testbed): Promise<string[]> {
  const counts = [...(await messagesIn({ testbed }))].filter(([name]) => !name.endsWith('.dead-letter'))
  return counts.filter(([, count]) => count > 0).map(([name, count]) => `${count} messages of ${name}`)
}

function healthchecksLogged({ stack, replicas }: Testbed): Map<string, number> {
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
