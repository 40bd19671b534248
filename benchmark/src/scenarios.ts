// The scenarios. Each runs the trees and the ceiling in turn and returns a series of figures for each. Higher is better.
import { serviceNames } from '@ims/accounts/suite'
import { freePorts } from 'testkit'
import { z } from 'zod'
import { cpuSeconds, type Program, type Running, residentMb, until, untilOk } from './processes.ts'
import { type Bad, fillCreateItem, fillInventory, fillStockAdjustment, item, refuseItems, type Stage } from './stage.ts'
import { CEILING, type Figures, OURS, type Row } from './table.ts'

/** How long and how much to measure. */
export interface Extent {
  readonly rounds: number
  readonly loadS: number
  readonly warmUpS: number
  readonly drained: number
  readonly refused: number
  readonly adjusted: number
  readonly idleS: number
}

const DRAINED_WITHIN_S = 300

/** The result of one round of one contestant. On a shared machine, CPU time is more reliable than a rate. */
interface Measured {
  readonly perSecond: number
  /** CPU time of the process that does the work, per request or message. */
  readonly cpuUs: number
}

interface Contestant {
  readonly name: string
  measure(): Promise<Measured>
}

/** The figures of all rounds, by contestant. */
export interface Rounds {
  readonly perSecond: Figures
  readonly cpuUs: Figures
}

/** Runs rounds of all contestants in turn, so that other load on the machine affects all of them equally. */
async function interleaved(rounds: number, contestants: readonly Contestant[]): Promise<Rounds> {
  const empty = () => new Map(contestants.map(({ name }) => [name, [] as number[]]))
  const figures = { perSecond: empty(), cpuUs: empty() }
  for (let round = 0; round < rounds; round += 1)
    for (const { name, measure } of contestants) {
      const { perSecond, cpuUs } = await measure()
      figures.perSecond.get(name)?.push(perSecond)
      figures.cpuUs.get(name)?.push(cpuUs)
    }
  return figures
}

/** Accepting at 64 connections. Nobody consumes, for any contestant. */
export async function acceptRounds(stages: readonly [Stage, ...Stage[]], extent: Extent): Promise<Rounds> {
  const body = JSON.stringify(item(1))
  const [ours] = stages
  const hosts = await Promise.all([
    ...stages.map((stage) => httpHost(stage, stage.name, producer(stage))),
    httpHost(ours, CEILING, (port) => ours.processes.start(ceiling(ours, 'accept.ts', { PORT: port }))),
  ])
  await Promise.all(hosts.slice(0, -1).map(({ url }) => untilOk(`${url}/healthcheck`)))
  const load = async (host: Host, durationS: number) => {
    const measured = await request(host, '/create_item', 64, durationS, body)
    await host.stage.channel.purgeQueue('create_item')
    return measured
  }
  return await loaded(hosts, extent, load)
}

/** Draining a full queue. Consumer two stores every item; the ceiling only parses and acknowledges. */
export async function drainRounds(stages: readonly [Stage, ...Stage[]], { rounds, drained }: Extent): Promise<Rounds> {
  return await interleaved(rounds, [
    ...stages.map((stage) => ({ name: stage.name, measure: () => drainStored(stage, drained) })),
    { name: CEILING, measure: () => drainParsed(stages[0], drained) },
  ])
}

async function drainStored(stage: Stage, messages: number): Promise<Measured> {
  await fillInventory(stage, 0)
  await fillCreateItem(stage, messages)
  const last = z.array(z.object({ last: z.number().nullable() }))
  return await drained(stage, messages, 5, async () => {
    const [rows] = await stage.pool.query('SELECT MAX(id) AS last FROM inventory')
    return last.parse(rows)[0]?.last === messages
  })
}

/**
 * Draining creates, some of them bad or duplicate, against good ones only: a bad message must not slow its neighbours
 * down. The figures of the good ones take the place of the ceiling.
 */
export async function badRounds(
  [stage]: readonly [Stage, ...Stage[]],
  { rounds, drained: messages }: Extent,
  bad: { readonly how: Bad; readonly of20: number },
): Promise<Rounds> {
  const drain = async (some?: typeof bad) => {
    await fillInventory(stage, 0)
    const { good } = await fillCreateItem(stage, messages, some)
    const stored = z.array(z.object({ stored: z.number() }))
    return await drained(stage, messages, 20, async () => {
      const [rows] = await stage.pool.query('SELECT COUNT(*) AS stored FROM inventory')
      return stored.parse(rows)[0]?.stored === good
    })
  }
  if (bad.how === 'MySQL refuses') await refuseItems(stage)
  return await interleaved(rounds, [
    { name: OURS, measure: () => drain(bad) },
    { name: CEILING, measure: () => drain() },
  ])
}

/** Draining creates that are all rejected as duplicates: an inbox row and a dead letter each. There is no ceiling. */
export async function refusalRounds(stages: readonly Stage[], { rounds, refused }: Extent): Promise<Rounds> {
  const drainRefused = async (stage: Stage) => {
    await fillInventory(stage, refused)
    await fillCreateItem(stage, refused)
    const letters = async () => (await stage.channel.checkQueue('create_item.dead-letter')).messageCount
    return await drained(stage, refused, 5, async () => (await letters()) === refused)
  }
  return await interleaved(
    rounds,
    stages.map((stage) => ({ name: stage.name, measure: () => drainRefused(stage) })),
  )
}

/** Two replicas of consumer three sell one item. There is no ceiling. `deadlocks` counts those of all rounds. */
export async function adjustRounds(
  stages: readonly [Stage, ...Stage[]],
  { rounds, adjusted }: Extent,
): Promise<Rounds & { readonly deadlocks: number }> {
  const left = z.tuple([z.object({ left: z.number() })])
  const sell = async (stage: Stage) => {
    await fillInventory(stage, 1)
    await fillStockAdjustment(stage, adjusted)
    const isSold = async () =>
      left.parse((await stage.pool.query('SELECT quantity AS `left` FROM inventory'))[0])[0].left === 0
    return await drained(stage, adjusted, 5, isSold, 'stock_adjustment', ['consumer_three', 'consumer_three'])
  }
  const before = await stages[0].deadlocks()
  const measured = await interleaved(
    rounds,
    stages.map((stage) => ({ name: stage.name, measure: () => sell(stage) })),
  )
  return { ...measured, deadlocks: (await stages[0].deadlocks()) - before }
}

/** Messages per second that the consumers handle, counted from the first message. */
async function drained(
  stage: Stage,
  messages: number,
  everyMs: number,
  isDone: () => Promise<boolean>,
  queue = 'create_item',
  names: readonly string[] = ['consumer_two'],
): Promise<Measured> {
  const consumers = names.map((name) => stage.service(name))
  const cpu = async () => (await Promise.all(consumers.map(({ pid }) => cpuSeconds(pid)))).reduce((sum, s) => sum + s)
  const isTaken = async () => (await stage.channel.checkQueue(queue)).messageCount < messages
  await until(`messages of ${queue} are taken`, isTaken, 2, 30)
  const since = performance.now()
  const cpuBefore = await cpu()
  await until(`${messages} messages of ${queue} are done`, isDone, everyMs, DRAINED_WITHIN_S)
  const elapsedMs = performance.now() - since
  const cpuS = (await cpu()) - cpuBefore
  await Promise.all(consumers.map((consumer) => consumer.end()))
  return { perSecond: (messages / elapsedMs) * 1_000, cpuUs: (cpuS / messages) * 1e6 }
}

async function drainParsed(stage: Stage, messages: number): Promise<Measured> {
  await fillCreateItem(stage, messages)
  const bare = stage.processes.start(ceiling(stage, 'drain.ts', { BENCH_MESSAGES: String(messages) }))
  const printed = z.object({ elapsedMs: z.number(), cpuUs: z.number() }).parse(JSON.parse(await bare.line()))
  await bare.end()
  return { perSecond: (messages / printed.elapsedMs) * 1_000, cpuUs: printed.cpuUs / messages }
}

/** Listing 1,000 items through broker and consumer four, against directly from MySQL. */
export async function listingRounds(
  stages: readonly [Stage, ...Stage[]],
  connections: number,
  extent: Extent,
): Promise<Rounds> {
  const [ours] = stages
  for (const stage of stages) await fillInventory(stage, 1_000)
  const fours = stages.map((stage) => stage.service('consumer_four'))
  const hosts = await Promise.all([
    ...stages.map((stage) => httpHost(stage, stage.name, producer(stage))),
    httpHost(ours, CEILING, (port) => ours.processes.start(ceiling(ours, 'listing.ts', { PORT: port }))),
  ])
  await Promise.all(hosts.map(({ url }) => untilOk(`${url}/order_processing`)))
  const load = (host: Host, durationS: number) => request(host, '/order_processing', connections, durationS)
  const figures = await loaded(hosts, extent, load)
  for (const four of fours) await four.end()
  return figures
}

/** Resident memory of the five idle services, some seconds after their second start. */
export async function idleMemory(stages: readonly Stage[], { idleS }: Extent): Promise<Row[]> {
  const inMb = new Map<string, Map<string, number>>()
  for (const stage of stages) {
    await idleServices(stage, idleS) // fills the compile cache, as building an image does
    inMb.set(stage.name, await idleServices(stage, idleS))
  }
  return serviceNames.map((service) => ({
    what: `${service} idle, resident (MB)`,
    figures: new Map([...inMb].map(([name, all]) => [name, [all.get(service) ?? Number.NaN]])),
    target: { max: 100 },
  }))
}

async function idleServices(stage: Stage, idleS: number): Promise<Map<string, number>> {
  const [port] = await freePorts(1)
  const services = serviceNames.map((name) => ({ name, running: stage.service(name, { PORT: String(port) }) }))
  await untilOk(`http://127.0.0.1:${port}/healthcheck`)
  await new Promise((resolve) => setTimeout(resolve, idleS * 1_000))
  const inMb = new Map<string, number>()
  for (const { name, running } of services) {
    inMb.set(name, await residentMb(running.pid))
    await running.end()
  }
  return inMb
}

interface Host {
  readonly name: string
  readonly url: string
  readonly stage: Stage
  readonly running: Running
}

/** Starts an HTTP program on a free port. */
async function httpHost(stage: Stage, name: string, program: (port: string) => Running): Promise<Host> {
  const [port] = await freePorts(1)
  return { name, stage, url: `http://127.0.0.1:${port}`, running: program(String(port)) }
}

const producer = (stage: Stage) => (port: string) =>
  stage.service('producer', { PORT: port, WAIT_FOR_CONSUMERS: 'false', LOG_LEVEL: 'info' })

const ceiling = ({ env }: Stage, file: string, more: Readonly<Record<string, string>>): Program => ({
  file: `benchmark/src/ceiling/${file}`,
  env: { ...env, ...more },
})

async function loaded(
  hosts: readonly Host[],
  { rounds, loadS, warmUpS }: Extent,
  load: (host: Host, durationS: number) => Promise<Measured>,
): Promise<Rounds> {
  for (const host of hosts) await load(host, warmUpS)
  const contestants = hosts.map((host) => ({ name: host.name, measure: () => load(host, loadS) }))
  const figures = await interleaved(rounds, contestants)
  for (const { running } of hosts) await running.end()
  return figures
}

async function request(
  { url, stage, running }: Host,
  path: string,
  connections: number,
  durationS: number,
  body?: string,
): Promise<Measured> {
  const args = [JSON.stringify({ url: url + path, connections, durationS, body })]
  const cpuBefore = await cpuSeconds(running.pid)
  const printed = await stage.processes.run({ file: 'benchmark/src/load.ts', env: {}, args })
  const cpuS = (await cpuSeconds(running.pid)) - cpuBefore
  const { perSecond, requests } = z.object({ perSecond: z.number(), requests: z.number() }).parse(JSON.parse(printed))
  return { perSecond, cpuUs: (cpuS / requests) * 1e6 }
}
