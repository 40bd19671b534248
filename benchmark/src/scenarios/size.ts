// Goals for any size: drain rate and page time with many rows, memory with a long queue, and idle memory.
import { serviceNames } from '@ims/accounts/suite'
import { freePorts } from 'testkit'
import { type Bench, ceiling, endAll, httpHost, producer, type Scenario } from '../bench.ts'
import { type Measured, median, OURS, type Row, rowOf } from '../measured.ts'
import { peakMb } from '../memory-peak.ts'
import { type Running, residentMb, until, untilOk } from '../processes.ts'
import { readList } from '../read-list.ts'
import { fillCreateItem, fillInbox, fillInventory, itemsIn, lastId, type Stage } from '../stage.ts'
import { drained } from './drain.ts'

const PAGES_READ = 50
const IDLE_MAX_MB = 90
/** Limits for figures that must not depend on the size. They include a tolerance, because the figures are measured at different times. */
const FLAT_MIN = 0.8
const FLAT_MAX = 1.2
const FLAT_PAGE_MAX = 2

const counted = (count: number) => count.toLocaleString('en')

export const growth: Scenario = {
  name: 'growth',
  about: 'drain and page with up to millions of rows in inventory and inbox',
  async measure({ stages: [stage], extent, progress }) {
    const [smallest = 0] = extent.growth
    const base = `ours, ${counted(smallest)} rows`
    const rows: Row[] = []
    let first: { drain: Measured; pageMs: number } | undefined
    for (const size of extent.growth) {
      progress(`growth: ${counted(size)} rows`)
      const measured = await atSize(stage, size, Math.min(extent.drained, 10_000))
      const isFirst = first === undefined
      first ??= measured
      rows.push(
        rowOf(
          {
            scenario: 'growth',
            what: `drain into ${counted(size)} rows`,
            unit: 'messages/s',
            goals: isFirst ? [] : [{ against: base, min: FLAT_MIN }],
          },
          beside(measured.drain, isFirst ? {} : { [base]: first.drain }),
          (result) => result,
        ),
        rowOf(
          {
            scenario: 'growth',
            what: `last page of ${counted(size)} rows`,
            unit: 'ms',
            goals: isFirst ? [] : [{ against: base, max: FLAT_PAGE_MAX }],
          },
          beside(measured.pageMs, isFirst ? {} : { [base]: first.pageMs }),
          (figure) => ({ figure }),
        ),
      )
    }
    return rows
  },
}

/** Results with one figure for ours and one for each of `others`. */
const beside = <Figure>(ours: Figure, others: Readonly<Record<string, Figure>>): ReadonlyMap<string, Figure[]> =>
  new Map(Object.entries({ [OURS]: ours, ...others }).map(([name, figure]) => [name, [figure]]))

async function atSize(stage: Stage, size: number, messages: number): Promise<{ drain: Measured; pageMs: number }> {
  await fillInventory(stage, size)
  await fillInbox(stage, size)
  const consumer_four = stage.service('consumer_four')
  const host = await httpHost(stage, OURS, (port) => ({ ...producer(stage)(port), consumer_four }))
  const isConsumed = async () => (await stage.channel.checkQueue('order_processing')).consumerCount > 0
  await until('consumer four consumes', isConsumed, 10, 60)
  const url = `${host.url}/order_processing?limit=100&after=${Math.max(0, size - 200)}`
  await readList(url)
  const pages: number[] = []
  for (let n = 0; n < PAGES_READ; n += 1) pages.push((await readList(url)).totalMs)
  await endAll(host.running)
  const last = (await lastId(stage)) ?? 0
  await fillCreateItem(stage, messages, { from: size })
  const drain = await drained(stage, {
    messages,
    start: () => ({ consumer_two: stage.service('consumer_two') }),
    isDone: async () => (await itemsIn(stage, last)) === messages,
    everyMs: 50,
  })
  return { drain, pageMs: median(pages) }
}

export const memory: Scenario = {
  name: 'memory',
  about: 'idle memory, and the peak of consumer two with a long queue',
  async measure(bench) {
    return [...(await idle(bench)), ...(await backlogs(bench))]
  },
}

async function backlogs({ stages: [stage], extent, progress }: Bench): Promise<Row[]> {
  const [smallest = 0] = extent.backlogs
  const base = `ours, ${counted(smallest)} waiting`
  const floor = 'floor with inbox'
  const rows: Row[] = []
  let first: number | undefined
  for (const messages of extent.backlogs) {
    const what = `peak of consumer two, ${counted(messages)} waiting`
    progress(what)
    const ours = await peakOf(stage, messages, () => stage.service('consumer_two'))
    const bare = await peakOf(stage, messages, () => stage.processes.start(ceiling(stage, 'drain.ts')))
    const others = { [floor]: bare, ...(first === undefined ? {} : { [base]: first }) }
    const goals = first === undefined ? [] : [{ against: base, max: FLAT_MAX }]
    first ??= ours
    rows.push(rowOf({ scenario: 'memory', what, unit: 'MB', goals }, beside(ours, others), (figure) => ({ figure })))
  }
  return rows
}

async function peakOf(stage: Stage, messages: number, start: () => Running): Promise<number> {
  await fillInventory(stage, 0)
  await fillCreateItem(stage, messages)
  let peak = Number.NaN
  const isDone = async () => (await lastId(stage)) === messages
  await drained(stage, { messages, start: () => ({ consumer: start() }), isDone, everyMs: 100 }, async (running) => {
    peak = await peakMb(running.consumer?.pid ?? 0)
  })
  return peak
}

/** Measures the resident memory of the five idle services, some seconds after their second start. */
async function idle({ stages, extent, progress }: Bench): Promise<Row[]> {
  const inMb = new Map<string, ReadonlyMap<string, number>>()
  for (const stage of stages) {
    progress(`idle services, ${stage.name}`)
    await idleServices(stage, 0) // fills the compile cache, like an image build
    inMb.set(stage.name, await idleServices(stage, extent.idleS))
  }
  return serviceNames.map((service) =>
    rowOf(
      { scenario: 'memory', what: `${service}, idle`, unit: 'MB', goals: [{ max: IDLE_MAX_MB }] },
      new Map([...inMb].map(([name, all]) => [name, [all.get(service) ?? Number.NaN]])),
      (figure) => ({ figure }),
    ),
  )
}

async function idleServices(stage: Stage, idleS: number): Promise<ReadonlyMap<string, number>> {
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
