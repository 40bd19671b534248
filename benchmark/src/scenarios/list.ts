// Listing: 1,000 items at 1 to 64 connections, 100,000 from a cold start, 1,000,000, and a label that no item has.
import { type Bench, ceiling, endAll, type Host, httpHost, producer, type Scenario } from '../bench.ts'
import { interleaved, median, type Row, rowOf } from '../measured.ts'
import { peakMb, resetPeak } from '../memory-peak.ts'
import { NESTJS } from '../peers.ts'
import { residentMb, until } from '../processes.ts'
import { type ListRead, readList } from '../read-list.ts'
import { fillInventory, type Stage } from '../stage.ts'
import { closedLoop } from './accept.ts'

const MYSQL = 'Express + mysql2'
const STREAM = 'mysql2 stream'
const PAGES = 'mysql2 pages'
const SHORT = 1_000
const PATH = '/order_processing'
const FIRST_BYTE_MAX_MS = 30
const ABOVE_IDLE_MAX_MB = 60
const NO_MATCH_MAX_MS = 5
const NO_MATCH_READS = 50
/** Time until the memory of a new process no longer grows. */
const SETTLES_MS = 2_000

/** A program that serves the list, and the path of the whole list. */
interface Lister {
  readonly name: string
  readonly path: string
  start(): Promise<Host>
}

export const list: Scenario = {
  name: 'list',
  about: '1,000 items at 1, 16 and 64 connections',
  async measure(bench) {
    for (const stage of bench.stages) await fillInventory(stage, SHORT)
    const hosts = await Promise.all(
      [...suites(bench), ...peers(bench), direct(bench.stages[0], MYSQL, PATH)].map(({ start }) => start()),
    )
    const rows: Row[] = []
    for (const [connections, min] of [
      [1, 0.5],
      [16, 2.5],
      [64, 6],
    ] as const)
      rows.push(await shortLists(bench, hosts, connections, min))
    for (const { running } of hosts) await endAll(running)
    return rows
  },
}

async function shortLists({ extent, progress }: Bench, hosts: readonly Host[], connections: number, min: number) {
  const what = `list 1,000 items, ${connections} connection${connections === 1 ? '' : 's'}`
  const load = (host: Host, durationS: number) => closedLoop(host, { path: PATH, connections }, durationS)
  for (const host of hosts) await load(host, extent.warmUpS)
  const contestants = hosts.map((host) => ({ name: host.name, measure: () => load(host, extent.loadS) }))
  const results = await interleaved(extent.rounds, contestants, (line) => progress(`${what}: ${line}`))
  const about = { scenario: 'list', what, unit: 'lists/s', goals: [{ against: MYSQL, min }] }
  return rowOf(about, results, (result) => result)
}

export const long: Scenario = {
  name: 'long',
  about: '100,000 items from a cold start, 1,000,000 items, and a label that no item has',
  async measure(bench) {
    return [...(await cold(bench)), ...(await large(bench)), await noMatch(bench)]
  },
}

async function cold(bench: Bench): Promise<Row[]> {
  const { listed } = bench.extent
  for (const stage of bench.stages) await fillInventory(stage, listed)
  const what = `list ${counted(listed)} items, cold`
  const results = await longReads(bench, what, listed, [...suites(bench), ...peers(bench)])
  return [
    rowOf({ ...about(what), goals: [{ against: NESTJS, min: 1 }] }, results, (read) => ({ figure: perSecond(read) })),
    firstByte(what, results),
  ]
}

async function large(bench: Bench): Promise<Row[]> {
  const { listedLong: listed } = bench.extent
  const [ours] = bench.stages
  for (const stage of bench.stages) await fillInventory(stage, listed)
  const what = `list ${counted(listed)} items`
  const results = await longReads(bench, what, listed, [
    ...suites(bench),
    direct(ours, STREAM, '/stream'),
    direct(ours, PAGES, '/pages'),
  ])
  const goals = [
    { against: STREAM, min: 0.4 },
    { against: PAGES, min: 0.6 },
  ]
  const memory = ['producer', 'consumer_four'].map((process) =>
    rowOf(
      { ...about(`${what}: memory of ${process} above idle`), unit: 'MB', goals: [{ max: ABOVE_IDLE_MAX_MB }] },
      onlySuites(bench, results),
      ({ aboveIdleMb }) => ({ figure: aboveIdleMb[process] ?? Number.NaN }),
    ),
  )
  return [
    rowOf({ ...about(what), goals }, results, (read) => ({ figure: perSecond(read) })),
    firstByte(what, results),
    ...memory,
  ]
}

/** Runs after `large`, on the rows that it inserted. */
async function noMatch(bench: Bench): Promise<Row> {
  const what = `?label= that none of ${counted(bench.extent.listedLong)} items has`
  const contestants = suites(bench).map(({ name, start }) => ({
    name,
    measure: async () => {
      const host = await start()
      const url = `${host.url}${PATH}?label=no-such-label`
      await readList(url)
      const reads: number[] = []
      for (let n = 0; n < NO_MATCH_READS; n += 1) reads.push((await readList(url)).totalMs)
      await endAll(host.running)
      return median(reads)
    },
  }))
  const results = await interleaved(bench.extent.rounds, contestants, (line) => bench.progress(`${what}: ${line}`))
  return rowOf({ ...about(what), unit: 'ms', goals: [{ max: NO_MATCH_MAX_MS }] }, results, (figure) => ({ figure }))
}

const counted = (items: number) => items.toLocaleString('en')
const about = (what: string) => ({ scenario: 'long', what, unit: 'items/s' })
const perSecond = ({ items, totalMs }: ListRead) => (items / totalMs) * 1_000

const firstByte = (what: string, results: Reads) =>
  rowOf(
    { ...about(`${what}: first byte`), unit: 'ms', goals: [{ max: FIRST_BYTE_MAX_MS }] },
    results,
    ({ firstByteMs }) => ({ figure: firstByteMs }),
  )

interface LongRead extends ListRead {
  readonly aboveIdleMb: Readonly<Record<string, number>>
}
type Reads = ReadonlyMap<string, readonly LongRead[]>

const onlySuites = ({ stages }: Bench, reads: Reads): Reads =>
  new Map([...reads].filter(([name]) => stages.some((stage) => stage.name === name)))

/** In each round, starts each program, reads its list once, and stops it. */
async function longReads(
  { extent, progress }: Bench,
  what: string,
  items: number,
  listers: readonly Lister[],
): Promise<Reads> {
  const contestants = listers.map(({ name, path, start }) => ({
    name,
    measure: async (): Promise<LongRead> => {
      const host = await start()
      await new Promise((resolve) => setTimeout(resolve, SETTLES_MS))
      const running = Object.entries(host.running)
      const idleMb = new Map<string, number>()
      for (const [process, { pid }] of running) {
        await resetPeak(pid)
        idleMb.set(process, await residentMb(pid))
      }
      const read = await readList(host.url + path)
      if (read.items !== items) throw new Error(`${name} listed ${read.items} of ${items} items`)
      const aboveIdleMb: Record<string, number> = {}
      for (const [process, { pid }] of running) aboveIdleMb[process] = (await peakMb(pid)) - (idleMb.get(process) ?? 0)
      await endAll(host.running)
      return { ...read, aboveIdleMb }
    },
  }))
  return await interleaved(extent.rounds, contestants, (line) => progress(`${what}: ${line}`))
}

const suites = ({ stages }: Bench): Lister[] =>
  stages.map((stage) => ({
    name: stage.name,
    path: PATH,
    start: async () => {
      const consumer_four = stage.service('consumer_four')
      const host = await httpHost(stage, stage.name, (port) => ({ ...producer(stage)(port), consumer_four }))
      const isConsumed = async () => (await stage.channel.checkQueue('order_processing')).consumerCount > 0
      await until('consumer four consumes', isConsumed, 10, 60)
      return host
    },
  }))

/** Only the peers that are not tuned, because tuning does not affect a list. */
const peers = ({ stages: [stage], peers: all }: Bench): Lister[] =>
  all
    .filter(({ isTuned }) => !isTuned)
    .map((peer) => ({
      name: peer.name,
      path: PATH,
      start: async () => {
        const consumer = stage.processes.start(peer.consumer(stage.env))
        await consumer.line()
        return await httpHost(stage, peer.name, (PORT) => ({
          producer: stage.processes.start(peer.producer({ ...stage.env, PORT })),
          consumer,
        }))
      },
    }))

const direct = (stage: Stage, name: string, path: string): Lister => ({
  name,
  path,
  start: () =>
    httpHost(stage, name, (PORT) => ({ express: stage.processes.start(ceiling(stage, 'listing.ts', { PORT })) })),
})
