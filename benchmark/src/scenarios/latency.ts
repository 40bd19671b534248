// Latency at a fixed rate: until a create is accepted, and until it is applied.
import { z } from 'zod'
import { type Bench, endAll, type Host, httpHost, producer, type Scenario } from '../bench.ts'
import { interleaved, type Row, rowOf } from '../measured.ts'
import { until } from '../processes.ts'
import { fillInventory } from '../stage.ts'
import { acceptHosts, EXPRESS } from './accept.ts'

const RATES = [200, 500]
const latencies = z.object({ p50Ms: z.number(), p99Ms: z.number() })
type Latencies = z.infer<typeof latencies>

export const latency: Scenario = {
  name: 'latency',
  about: 'creates at a fixed rate of 200 and 500 a second, until they are accepted and until they are applied',
  async measure(bench) {
    const rows: Row[] = []
    const hosts = await acceptHosts({ ...bench, peers: bench.peers.filter(({ isTuned }) => isTuned) })
    for (const perSecond of RATES)
      rows.push(...(await openLoops(bench, hosts, { perSecond, isWaiting: false, until: 'accepted' })))
    for (const { running } of hosts) await endAll(running)
    rows.push(...(await applied(bench)))
    return rows
  },
}

async function applied(bench: Bench): Promise<Row[]> {
  const rows: Row[] = []
  const hosts = await Promise.all(
    bench.stages.map(async (stage) => {
      await fillInventory(stage, 0)
      const consumer_two = stage.service('consumer_two')
      const host = await httpHost(stage, stage.name, (port) => ({ ...producer(stage)(port), consumer_two }))
      const isConsumed = async () => (await stage.channel.checkQueue('create_item')).consumerCount > 0
      await until('consumer two consumes', isConsumed, 10, 60)
      return host
    }),
  )
  for (const perSecond of RATES)
    rows.push(...(await openLoops(bench, hosts, { perSecond, isWaiting: true, until: 'applied, with Prefer: wait' })))
  for (const { running } of hosts) await endAll(running)
  return rows
}

interface Loop {
  readonly perSecond: number
  readonly isWaiting: boolean
  readonly until: string
}

async function openLoops({ extent, progress }: Bench, hosts: readonly Host[], loop: Loop): Promise<Row[]> {
  const { perSecond, isWaiting } = loop
  let run = 0
  const measure = async (host: Host, durationS: number): Promise<Latencies> => {
    run += 1
    const sku = `${isWaiting ? 'w' : 'a'}${perSecond}-${run}-`
    const args = [JSON.stringify({ url: `${host.url}/create_item`, perSecond, durationS, isWaiting, sku })]
    const printed = await host.stage.processes.run({ file: 'benchmark/src/open-loop.ts', env: {}, args })
    if (!isWaiting) await host.stage.channel.purgeQueue('create_item')
    return latencies.parse(JSON.parse(printed))
  }
  for (const host of hosts) await measure(host, extent.warmUpS)
  const contestants = hosts.map((host) => ({ name: host.name, measure: () => measure(host, extent.openLoopS) }))
  const what = `${perSecond} creates a second until ${loop.until}`
  const results = await interleaved(extent.rounds, contestants, (line) => progress(`${what}: ${line}`))
  const about = (percentile: string) => ({ scenario: 'latency', what: `${what}, ${percentile}`, unit: 'ms' })
  const goals = isWaiting ? [] : [{ against: EXPRESS, max: 1.5 }]
  return [
    rowOf(about('p50'), results, ({ p50Ms }) => ({ figure: p50Ms })),
    rowOf({ ...about('p99'), goals }, results, ({ p99Ms }) => ({ figure: p99Ms })),
  ]
}
