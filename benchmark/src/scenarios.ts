// The scenarios: each runs ours and the bare ceiling in turn, and returns both series of figures, higher being better.
import { leanNode } from 'local'
import { z } from 'zod'
import { type Running, residentMb, start, untilOk } from './processes.ts'
import { fillCreateItem, fillInventory, item, type Stage } from './stage.ts'
import type { Rounds, Row } from './table.ts'

const DRAIN_MESSAGES = 40_000
const LOAD_S = 5
const WARM_UP_S = 2
const OURS = 5100
const CEILING = 5200
const SERVICES = ['producer', 'consumer_one', 'consumer_two', 'consumer_three', 'consumer_four']

/** Accepting at 64 connections; nobody consumes, in either case. */
export async function acceptRounds(stage: Stage, rounds: number): Promise<Rounds> {
  const body = JSON.stringify(item(1))
  const load = (port: number, durationS: number) =>
    perSecond(`http://127.0.0.1:${port}/create_item`, 64, durationS, body)
  const ours = service(stage, 'producer', { PORT: String(OURS), WAIT_FOR_CONSUMERS: 'false', LOG_LEVEL: 'info' })
  const ceiling = start('benchmark/src/ceiling/accept.ts', { ...stage.env, PORT: String(CEILING) })
  await untilOk(`http://127.0.0.1:${OURS}/healthcheck`)
  return await interleaved(rounds, [ours, ceiling], load, async () => {
    await stage.channel.purgeQueue('create_item')
  })
}

/** Draining a full queue: consumer two stores every item, the ceiling only parses and acks. */
export async function drainRounds(stage: Stage, rounds: number): Promise<Rounds> {
  const figures = { ours: [] as number[], ceiling: [] as number[] }
  for (let round = 0; round < rounds; round += 1) {
    figures.ours.push(await drainOurs(stage))
    figures.ceiling.push(await drainCeiling(stage))
  }
  return figures
}

async function drainOurs(stage: Stage): Promise<number> {
  await fillInventory(stage, 0)
  await fillCreateItem(stage, DRAIN_MESSAGES)
  const ours = service(stage, 'consumer_two', {})
  while ((await stage.channel.checkQueue('create_item')).messageCount === DRAIN_MESSAGES) await pauseMs(2)
  const since = performance.now()
  const last = z.array(z.object({ last: z.number().nullable() }))
  for (;;) {
    const [rows] = await stage.pool.query('SELECT MAX(id) AS last FROM inventory')
    if (last.parse(rows)[0]?.last === DRAIN_MESSAGES) break
    await pauseMs(5)
  }
  const elapsedMs = performance.now() - since
  await ours.end()
  return (DRAIN_MESSAGES / elapsedMs) * 1_000
}

async function drainCeiling(stage: Stage): Promise<number> {
  await fillCreateItem(stage, DRAIN_MESSAGES)
  const ceiling = start('benchmark/src/ceiling/drain.ts', { ...stage.env, BENCH_MESSAGES: String(DRAIN_MESSAGES) })
  const { elapsedMs } = z.object({ elapsedMs: z.number() }).parse(JSON.parse(await ceiling.line()))
  await ceiling.end()
  return (DRAIN_MESSAGES / elapsedMs) * 1_000
}

/** Listing 1,000 items: through broker and consumer four, against straight from MySQL. */
export async function listingRounds(stage: Stage, rounds: number, connections: number): Promise<Rounds> {
  await fillInventory(stage, 1_000)
  const ours = service(stage, 'producer', { PORT: String(OURS), WAIT_FOR_CONSUMERS: 'false', LOG_LEVEL: 'info' })
  const four = service(stage, 'consumer_four', {})
  const ceiling = start('benchmark/src/ceiling/listing.ts', { ...stage.env, PORT: String(CEILING) })
  await untilOk(`http://127.0.0.1:${OURS}/order_processing`)
  await untilOk(`http://127.0.0.1:${CEILING}/order_processing`)
  const load = (port: number, durationS: number) =>
    perSecond(`http://127.0.0.1:${port}/order_processing`, connections, durationS)
  return await interleaved(rounds, [ours, four, ceiling], load, async () => {})
}

/** Resident memory of the five services, some seconds after their second start, with nothing to do. */
export async function idleMemory(stage: Stage): Promise<Row[]> {
  await idleServices(stage) // fills the compile cache, as building an image does
  return await idleServices(stage)
}

async function idleServices(stage: Stage): Promise<Row[]> {
  const services = SERVICES.map((name) => ({ name, running: service(stage, name, { PORT: String(OURS) }) }))
  await untilOk(`http://127.0.0.1:${OURS}/healthcheck`)
  await pauseMs(5_000)
  const rows: Row[] = []
  for (const { name, running } of services) {
    const mb = await residentMb(running.pid)
    rows.push({
      what: `${name} idle, resident (MB)`,
      ours: mb.toFixed(0),
      ceiling: '',
      ratio: '',
      target: '≤ 100',
      met: mb <= 100,
    })
    await running.end()
  }
  return rows
}

async function interleaved(
  rounds: number,
  processes: readonly Running[],
  load: (port: number, durationS: number) => Promise<number>,
  between: () => Promise<void>,
): Promise<Rounds> {
  const figures = { ours: [] as number[], ceiling: [] as number[] }
  for (const port of [OURS, CEILING]) await load(port, WARM_UP_S)
  for (let round = 0; round < rounds; round += 1) {
    figures.ours.push(await load(OURS, LOAD_S))
    await between()
    figures.ceiling.push(await load(CEILING, LOAD_S))
    await between()
  }
  for (const running of processes) await running.end()
  return figures
}

async function perSecond(url: string, connections: number, durationS: number, body?: string): Promise<number> {
  const load = start('benchmark/src/load.ts', {}, [JSON.stringify({ url, connections, durationS, body })])
  return z.object({ perSecond: z.number() }).parse(JSON.parse(await load.line())).perSecond
}

function service(stage: Stage, name: string, env: Record<string, string>): Running {
  const admin = 9190 + SERVICES.indexOf(name)
  return start(`${name}/src/main.ts`, { ...leanNode, ...stage.env, ADMIN_PORT: String(admin), ...env })
}

const pauseMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
