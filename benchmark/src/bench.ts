// Shared by all scenarios: the stages, the sizes, the peers, and the programs that serve HTTP.
import { request } from 'node:http'
import { freePorts } from 'testkit'
import type { Progress, Row } from './measured.ts'
import { cpuSeconds, type Program, type Running, until } from './processes.ts'
import type { Stage } from './stage.ts'

/** The size of a run: durations, and numbers of rounds, messages and rows. */
export interface Extent {
  readonly rounds: number
  readonly loadS: number
  readonly warmUpS: number
  readonly openLoopS: number
  readonly drained: number
  /** Lower than `drained`, because a peer without batches is much slower. */
  readonly drainedByPeer: number
  readonly adjusted: number
  readonly listed: number
  readonly listedLong: number
  /** Numbers of rows in the tables, ascending. */
  readonly growth: readonly number[]
  /** Numbers of waiting messages, ascending. */
  readonly backlogs: readonly number[]
  /** Numbers of inbox rows and of dead letters while messages are looked up. */
  readonly inbox: number
  readonly deadLetters: number
  readonly idleS: number
}

export interface Bench {
  readonly stages: readonly [Stage, ...Stage[]]
  readonly extent: Extent
  readonly progress: Progress
  /** Empty with --without-peers. */
  readonly peers: readonly Peer[]
}

/** A producer and a consumer that use another framework. */
export interface Peer {
  readonly name: string
  readonly isTuned: boolean
  producer(env: Readonly<Record<string, string>>): Program
  consumer(env: Readonly<Record<string, string>>): Program
}

export interface Scenario {
  readonly name: string
  readonly about: string
  measure(bench: Bench): Promise<readonly Row[]>
}

/** A program that serves HTTP, and the processes whose CPU time is measured. */
export interface Host {
  readonly name: string
  readonly url: string
  readonly stage: Stage
  readonly running: Readonly<Record<string, Running>>
}

/** Starts a program on a free port, and waits until it responds. */
export async function httpHost(
  stage: Stage,
  name: string,
  program: (port: string) => Readonly<Record<string, Running>>,
): Promise<Host> {
  const [port] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const host = { name, stage, url, running: program(String(port)) }
  await until(`${name} responds at ${url}`, () => isResponding(`${url}/no-such-path`), 20, 60)
  return host
}

/** Whether a server responds, with any status. */
function isResponding(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    request(url, (response) => {
      response.resume()
      resolve(true)
    })
      .once('error', () => resolve(false))
      .end()
  })
}

export const producer =
  (stage: Stage, env: Readonly<Record<string, string>> = {}) =>
  (port: string) => ({
    producer: stage.service('producer', { PORT: port, WAIT_FOR_CONSUMERS: 'false', LOG_LEVEL: 'info', ...env }),
  })

export const ceiling = ({ env }: Stage, file: string, more: Readonly<Record<string, string>> = {}): Program => ({
  file: `benchmark/src/ceiling/${file}`,
  env: { ...env, ...more },
})

export async function endAll(running: Readonly<Record<string, Running>>): Promise<void> {
  await Promise.all(Object.values(running).map((each) => each.end()))
}

/** Runs `work`, and measures the CPU time of each process per message or request. `countOf` returns their number. */
export async function withCpu<Result>(
  running: Readonly<Record<string, Running>>,
  work: () => Promise<Result>,
  countOf: (result: Result) => number,
): Promise<{ readonly result: Result; readonly cpuUs: Record<string, number> }> {
  const seconds = async () =>
    await Promise.all(Object.entries(running).map(async ([name, { pid }]) => [name, await cpuSeconds(pid)] as const))
  const before = new Map(await seconds())
  const result = await work()
  const cpuUs: Record<string, number> = {}
  for (const [name, after] of await seconds()) cpuUs[name] = ((after - (before.get(name) ?? 0)) / countOf(result)) * 1e6
  return { result, cpuUs }
}
