// Everything a run consists of: real servers, the five services each behind proxies of its own, and triggers that count effects.
import { readFileSync } from 'node:fs'
import { eventually, leanNode, type Servers, startTcpProxy, type TcpProxy, testSpace } from 'local'
import { SERVICES, type ServiceName, type Stack, startStackOn } from '../test/stack.ts'
import { installAudit } from './audit.ts'
import type { Mutation } from './mutations.ts'
import { mutationEnvironment } from './mutations.ts'

export const DATABASE_SERVICES: readonly ServiceName[] = ['consumer_two', 'consumer_three', 'consumer_four']

/** Waits of the services, short enough that a fault of a second is felt. */
const IMPATIENT = {
  RABBITMQ_RECONNECT_MOST_MS: '1000',
  RABBITMQ_HEARTBEAT_S: '2',
  RABBITMQ_CONNECT_TIMEOUT_MS: '4000',
  CONSUMER_RETRY_MOST_MS: '1000',
  RPC_TIMEOUT_MS: '5000',
  MYSQL_STATEMENT_TIMEOUT_MS: '5000',
  MYSQL_CONNECT_TIMEOUT_MS: '3000',
  MYSQL_RETRY_MOST_MS: '1000',
}

export interface World {
  readonly stack: Stack
  /** The way of each service to the broker. */
  readonly amqp: ReadonlyMap<ServiceName, TcpProxy>
  /** The way of each service that has one to the database. */
  readonly mysql: ReadonlyMap<ServiceName, TcpProxy>
  /** Starts a service again that has ended. */
  restart(name: ServiceName): Promise<void>
  /** Highest resident memory of each service so far, in bytes. */
  readonly peakBytes: ReadonlyMap<ServiceName, number>
  /** Deliveries that a consumer recognised as applied before, over all processes of a run. */
  repeated(): number
  stop(): Promise<void>
}

const SAMPLED_EVERY_MS = 1_000

/** Starts all of it on `servers`, with a mutation in the services' code if one is asked for. */
export async function startWorld(servers: Servers, mutation: Mutation | undefined): Promise<World> {
  const space = await testSpace(servers, 'fault ledger')
  const amqp = await proxies(SERVICES, space.rabbitmq)
  const mysql = await proxies(DATABASE_SERVICES, space.mysql)
  const stack = await startStackOn(servers, space, {
    env: IMPATIENT,
    envOf: (name) => ({
      // As in a container, where memory is scarce.
      ...leanNode,
      ...port('RABBITMQ_PORT', amqp.get(name)),
      ...port('MYSQL_PORT', mysql.get(name)),
      ...mutationEnvironment(mutation),
    }),
  })
  await installAudit(servers.mysql, space.mysql.database)
  const samples = sampling(stack)
  return {
    stack,
    amqp,
    mysql,
    peakBytes: samples.peakBytes,
    repeated: samples.repeated,
    restart: async (name) => {
      await stack.start(name)
    },
    stop: async () => {
      samples.stop()
      for (const proxy of [...amqp.values(), ...mysql.values()]) await proxy.close()
      await stack.stop()
    },
  }
}

async function proxies(
  names: readonly ServiceName[],
  target: { host: string; port: number },
): Promise<Map<ServiceName, TcpProxy>> {
  const started = new Map<ServiceName, TcpProxy>()
  for (const name of names) started.set(name, await startTcpProxy(target))
  return started
}

const port = (variable: string, proxy: TcpProxy | undefined): Record<string, string> =>
  proxy === undefined ? {} : { [variable]: String(proxy.port) }

/** Resolves when every service is ready; rejects, saying which is not, when that takes too long. */
export async function allReady({ stack }: World, withinMs: number): Promise<void> {
  await eventually(async () => {
    for (const name of SERVICES) {
      const why = await stack.service(name).notReady()
      if (why !== undefined) throw new Error(`${name} is not ready: ${why}`)
    }
  }, withinMs)
}

/** Watches memory, and counters that end with their process. */
function sampling(stack: Stack) {
  const peakBytes = new Map<ServiceName, number>()
  const repeatedByPid = new Map<number, number>()
  const timer = setInterval(() => {
    for (const name of SERVICES) void sample(name).catch(() => {})
  }, SAMPLED_EVERY_MS)
  const sample = async (name: ServiceName) => {
    const { pid, admin } = stack.service(name)
    const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    if (resident) peakBytes.set(name, Math.max(peakBytes.get(name) ?? 0, Number(resident[1]) * 1024))
    const text = await (await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(SAMPLED_EVERY_MS) })).text()
    let repeated = 0
    for (const [, value] of text.matchAll(/^ims_messages_duplicates_total\S* (\d+)/gm)) repeated += Number(value)
    repeatedByPid.set(pid, repeated)
  }
  return {
    peakBytes,
    repeated: () => [...repeatedByPid.values()].reduce((sum, each) => sum + each, 0),
    stop: () => clearInterval(timer),
  }
}
