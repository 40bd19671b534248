// Drains full queues. Compares creates with a handwritten consumer (the floor) that has the same guarantee, deletes with creates,
// and bad messages with good ones. Also measures two replicas that sell one item.
import { z } from 'zod'
import { type Bench, ceiling, type Peer, type Scenario, withCpu } from '../bench.ts'
import { type Contestant, interleaved, type Measured, OURS, type Row, rowOf } from '../measured.ts'
import { type Running, until } from '../processes.ts'
import {
  BAD,
  type Bad,
  fillCreateItem,
  fillInventory,
  fillPeerCreateItem,
  fillStockAdjustment,
  fillStockManagement,
  itemsIn,
  lastId,
  refuseItems,
  refuseNone,
  type Stage,
} from '../stage.ts'

const FLOOR = 'floor with inbox'
const GOOD = 'ours, good messages'
const CREATES = 'ours, creates'
const DRAINED_WITHIN_S = 600

export const drain: Scenario = {
  name: 'drain',
  about: 'creates against a hand-written consumer with multi-row insert and inbox, and deletes',
  async measure(bench) {
    const { stages, extent, peers } = bench
    const [ours] = stages
    const { drained: messages } = extent
    const creates = await drains(
      bench,
      { what: `drain ${counted(messages)} creates`, goals: [{ against: FLOOR, min: 0.95 }] },
      [
        ...stages.map((stage) => ({ name: stage.name, measure: () => drainCreates(stage, messages) })),
        { name: FLOOR, measure: () => drainCreates(ours, messages, () => floor(ours)) },
        ...peers.map((peer) => ({ name: peer.name, measure: () => drainByPeer(ours, extent.drainedByPeer, peer) })),
      ],
    )
    const deletes = await drains(
      bench,
      { what: `drain ${counted(messages)} deletes`, goals: [{ against: CREATES, min: 0.9 }] },
      [
        { name: OURS, measure: () => drainDeletes(ours, messages) },
        { name: CREATES, measure: () => drainCreates(ours, messages) },
      ],
    )
    return [creates, deletes]
  },
}

export const bad: Scenario = {
  name: 'bad',
  about: 'creates with 10 or 50 % bad messages or duplicates, against good messages only',
  async measure(bench) {
    const [stage] = bench.stages
    const messages = bench.extent.drained / 2
    const rows: Row[] = []
    for (const how of Object.keys(BAD) as Bad[]) {
      if (how === 'MySQL rejects') await refuseItems(stage)
      for (const [of20, min] of [
        [2, 0.5],
        [10, 0.25],
      ] as const) {
        const what = `drain ${counted(messages)} creates of which ${of20 * 5} % ${how}`
        rows.push(
          await drains(bench, { scenario: 'bad', what, goals: [{ against: GOOD, min }] }, [
            { name: OURS, measure: () => drainBad(stage, messages, { how, of20 }) },
            { name: GOOD, measure: () => drainBad(stage, messages) },
          ]),
        )
      }
      await refuseNone(stage)
    }
    return rows
  },
}

export const adjust: Scenario = {
  name: 'adjust',
  about: 'two replicas of consumer three sell one item',
  async measure(bench) {
    const { stages, extent } = bench
    const what = `sell one item ${counted(extent.adjusted)} times, two replicas`
    const before = await stages[0].deadlocks()
    const contestants = stages.map((stage) => ({ name: stage.name, measure: () => sell(stage, extent.adjusted) }))
    const sold = await drains(bench, { scenario: 'adjust', what }, contestants)
    const deadlocks = (await stages[0].deadlocks()) - before
    const about = { scenario: 'adjust', what: `${what}: deadlocks`, unit: 'in all rounds', goals: [{ max: 0 }] }
    return [sold, rowOf(about, new Map([[OURS, [deadlocks]]]), (figure) => ({ figure }))]
  },
}

const counted = (messages: number) => messages.toLocaleString('en')

async function drains(
  { extent, progress }: Bench,
  { scenario = 'drain', what, goals = [] }: Partial<Pick<Row, 'scenario' | 'goals'>> & Pick<Row, 'what'>,
  contestants: readonly Contestant[],
): Promise<Row> {
  const results = await interleaved(extent.rounds, contestants, (line) => progress(`${what}: ${line}`))
  return rowOf({ scenario, what, unit: 'messages/s', goals }, results, (result) => result)
}

const ours = (stage: Stage) => ({ consumer_two: stage.service('consumer_two') })
const floor = (stage: Stage) => ({ floor: stage.processes.start(ceiling(stage, 'drain.ts')) })

export async function drainCreates(
  stage: Stage,
  messages: number,
  start: () => Readonly<Record<string, Running>> = () => ours(stage),
): Promise<Measured> {
  await fillInventory(stage, 0)
  await fillCreateItem(stage, messages)
  return await drained(stage, { messages, start, isDone: async () => (await lastId(stage)) === messages })
}

async function drainByPeer(stage: Stage, messages: number, peer: Peer): Promise<Measured> {
  await fillInventory(stage, 0)
  await fillPeerCreateItem(stage, messages)
  return await drained(stage, {
    messages,
    queue: 'peer_create_item',
    start: () => ({ nest: stage.processes.start(peer.consumer(stage.env)) }),
    isDone: async () => (await itemsIn(stage)) === messages,
  })
}

async function drainDeletes(stage: Stage, messages: number): Promise<Measured> {
  await fillInventory(stage, messages)
  await fillStockManagement(stage, messages)
  return await drained(stage, {
    messages,
    queue: 'stock_management',
    start: () => ({ consumer_three: stage.service('consumer_three') }),
    isDone: async () => (await lastId(stage)) === null,
  })
}

async function drainBad(stage: Stage, messages: number, some?: { how: Bad; of20: number }): Promise<Measured> {
  await fillInventory(stage, 0)
  const { good } = await fillCreateItem(stage, messages, some && { bad: some })
  const isDone = async () => (await itemsIn(stage)) === good
  return await drained(stage, { messages, start: () => ours(stage), isDone, everyMs: 20 })
}

async function sell(stage: Stage, messages: number): Promise<Measured> {
  await fillInventory(stage, 1)
  await fillStockAdjustment(stage, messages)
  const left = z.tuple([z.object({ left: z.number() })])
  const isDone = async () =>
    left.parse((await stage.pool.query('SELECT quantity AS `left` FROM inventory'))[0])[0].left === 0
  const start = () => ({ first: stage.service('consumer_three'), second: stage.service('consumer_three') })
  return await drained(stage, { messages, queue: 'stock_adjustment', start, isDone })
}

interface Draining {
  readonly messages: number
  readonly queue?: string
  readonly start: () => Readonly<Record<string, Running>>
  readonly isDone: () => Promise<boolean>
  readonly everyMs?: number
}

/** Measures the messages per second from the first delivery on. `whileRunning` is called before the processes are stopped. */
export async function drained(
  stage: Stage,
  { messages, queue = 'create_item', start, isDone, everyMs = 5 }: Draining,
  whileRunning: (running: Readonly<Record<string, Running>>) => Promise<void> = async () => {},
): Promise<Measured> {
  const running = start()
  const isDelivered = async () => (await stage.channel.checkQueue(queue)).messageCount < messages
  await until(`messages of ${queue} are delivered`, isDelivered, 2, 60)
  const sinceMs = performance.now()
  const { result: elapsedMs, cpuUs } = await withCpu(
    running,
    async () => {
      await until(`${messages} messages of ${queue} are done`, isDone, everyMs, DRAINED_WITHIN_S)
      return performance.now() - sinceMs
    },
    () => messages,
  )
  await whileRunning(running)
  await Promise.all(Object.values(running).map((each) => each.end()))
  return { figure: (messages / elapsedMs) * 1_000, cpuUs }
}
