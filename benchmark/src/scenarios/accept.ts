// Accepted requests: creates at 1 to 256 connections, and health checks at 64. The queues have no consumers.
import { z } from 'zod'
import { type Bench, ceiling, endAll, type Host, httpHost, producer, type Scenario, withCpu } from '../bench.ts'
import { type Contestant, type Goal, interleaved, type Measured, type Row, rowOf } from '../measured.ts'
import { NESTJS, NESTJS_TUNED } from '../peers.ts'
import { item, type Stage } from '../stage.ts'

export const EXPRESS = 'Express + amqplib'
/** RabbitMQ 3.10 needs a fifth more CPU time for more than 64 bytes of properties. With ours, Express shows what the other differences cost. */
const EXPRESS_ALL_PROPERTIES = 'Express + amqplib, all properties'
const QUEUES = ['create_item', 'healthcheck', 'peer_create_item', 'peer_order_processing']

const GOALS: ReadonlyMap<number, readonly Goal[]> = new Map([
  [1, [{ against: EXPRESS, min: 0.95 }]],
  [
    16,
    [
      { against: EXPRESS, min: 0.95 },
      { against: NESTJS_TUNED, min: 2 },
    ],
  ],
  [
    64,
    [
      { against: EXPRESS, min: 0.95 },
      { against: NESTJS_TUNED, min: 1.5 },
    ],
  ],
  [
    256,
    [
      { against: EXPRESS, min: 0.95 },
      { against: NESTJS_TUNED, min: 1.1 },
    ],
  ],
])

export const accept: Scenario = {
  name: 'accept',
  about: 'POST /create_item at 1, 16, 64 and 256 connections, GET /healthcheck at 64',
  async measure(bench) {
    const [ours] = bench.stages
    const hosts = [
      ...(await acceptHosts(bench)),
      await express(ours, EXPRESS_ALL_PROPERTIES, { BENCH_ALL_PROPERTIES: 'true' }),
    ]
    const rows: Row[] = []
    for (const [connections, goals] of GOALS) {
      const what = `accept, ${connections} connection${connections === 1 ? '' : 's'}`
      rows.push(await loaded(bench, hosts, { what, path: '/create_item', connections, goals, body: item(1) }))
    }
    const withHealth = hosts.filter(({ name }) => ![NESTJS, NESTJS_TUNED].includes(name))
    const goals = [{ against: EXPRESS, min: 1 }]
    rows.push(
      await loaded(bench, withHealth, {
        what: 'healthcheck, 64 connections',
        path: '/healthcheck',
        connections: 64,
        goals,
      }),
    )
    for (const { running } of hosts) await endAll(running)
    return rows
  },
}

/** Starts our producer, the ceiling with the same function, and the peers. */
export async function acceptHosts({ stages, peers }: Bench): Promise<Host[]> {
  const [ours] = stages
  return await Promise.all([
    ...stages.map((stage) => httpHost(stage, stage.name, producer(stage))),
    express(ours, EXPRESS),
    ...peers.map((peer) =>
      httpHost(ours, peer.name, (PORT) => ({ nest: ours.processes.start(peer.producer({ ...ours.env, PORT })) })),
    ),
  ])
}

const express = (stage: Stage, name: string, env: Readonly<Record<string, string>> = {}): Promise<Host> =>
  httpHost(stage, name, (PORT) => ({ express: stage.processes.start(ceiling(stage, 'accept.ts', { PORT, ...env })) }))

interface Load {
  readonly what: string
  readonly path: string
  readonly connections: number
  readonly goals: readonly Goal[]
  readonly body?: object
}

/** Measures the requests per second of each host. Resolves with one row. */
export async function loaded({ extent, progress }: Bench, hosts: readonly Host[], load: Load): Promise<Row> {
  const { what, goals } = load
  const measure = async (host: Host, durationS: number) => {
    const measured = await closedLoop(host, load, durationS)
    for (const queue of QUEUES) {
      await host.stage.channel.assertQueue(queue, { durable: true })
      await host.stage.channel.purgeQueue(queue)
    }
    return measured
  }
  for (const host of hosts) await measure(host, extent.warmUpS)
  const contestants: Contestant[] = hosts.map((host) => ({
    name: host.name,
    measure: () => measure(host, extent.loadS),
  }))
  const results = await interleaved(extent.rounds, contestants, (line) => progress(`${what}: ${line}`))
  return rowOf({ scenario: 'accept', what, unit: 'requests/s', goals }, results, (result) => result)
}

/** Measures the requests per second, and the CPU time per request, at a fixed number of connections. */
export async function closedLoop(
  host: Host,
  { path, connections, body }: Pick<Load, 'path' | 'connections' | 'body'>,
  durationS: number,
): Promise<Measured> {
  const options = { url: host.url + path, connections, durationS, ...(body && { body: JSON.stringify(body) }) }
  const run = async () =>
    z.object({ perSecond: z.number(), requests: z.number() }).parse(
      JSON.parse(
        await host.stage.processes.run({
          file: 'benchmark/src/closed-loop.ts',
          env: {},
          args: [JSON.stringify(options)],
        }),
      ),
    )
  const { result, cpuUs } = await withCpu(host.running, run, ({ requests }) => requests)
  return { figure: result.perSecond, cpuUs }
}
