// Starts real servers for the suite, its tests and its benchmarks, and attaches to running ones.
import { join, resolve } from 'node:path'
import { claimed } from './claimed.ts'
import { attachDocker, startDocker } from './docker-servers.ts'
import { externalServers } from './external.ts'
import { attachLocal, startLocal } from './local-servers.ts'
import { chooseMode, modeByEnvironment } from './mode.ts'
import { placeOf } from './place.ts'
import type { Mode, OnProgress, Servers } from './servers.ts'
import { makePrivate, readState } from './state.ts'

export interface StartOptions {
  /** Where the servers keep their data, logs and state. */
  readonly directory: string
  /** When omitted, existing data, the environment and the machine determine the mode. */
  readonly mode?: Mode
  /** `process` removes containers when this process has exited. `kept` keeps them. Private instances are stopped only by `close`. */
  readonly lifetime?: 'process' | 'kept'
  readonly onProgress: OnProgress
  /** Aborts the start of private servers. The start then rejects, and no process is left running. */
  readonly interrupted?: AbortSignal
}

/**
 * Resolves with servers that accept connections. Uses the servers that already run in `directory`, or starts them on the
 * data in it, or creates new ones. Rejects with ServersUnavailable when this machine cannot run them. If a server does not
 * start, the error contains the end of its log.
 */
export async function startServers(options: StartOptions): Promise<Servers> {
  const { directory, mode, lifetime = 'kept', onProgress, interrupted } = options
  const named = resolve(directory)
  // If no mode is forced, existing data determines it. Otherwise a Docker engine that is installed later would hide that data.
  const wanted = mode ?? modeByEnvironment(process.env) ?? readState(named)?.mode ?? (await chooseMode(process.env))
  if (wanted === 'external') return await externalServers(process.env)
  makePrivate(named)
  const at = placeOf(named)
  return await claimed(at, onProgress, async () => {
    const before = readState(at)?.mode
    if (before !== undefined && before !== wanted) {
      throw new Error(
        `${at} holds the data of servers started in mode ${before}, not ${wanted}; set IMS_SERVICES=${before} or delete the data`,
      )
    }
    return wanted === 'docker'
      ? await startDocker(at, lifetime, onProgress)
      : await startLocal(at, onProgress, interrupted)
  })
}

/** The log files of private servers in `directory`. The servers do not limit their size. */
export function serverLogs(directory: string): string[] {
  return ['mysql/mysqld.log', 'rabbitmq/output.log', 'rabbitmq/epmd.log'].map((name) => join(directory, name))
}

/** Attaches to the servers of `directory`, whether they run or not. Rejects when none were ever started there. */
export async function attachServers(directory: string): Promise<Servers> {
  const state = readState(resolve(directory))
  if (state === undefined) throw new Error(`no servers were started in ${resolve(directory)}`)
  const at = placeOf(directory)
  return state.mode === 'docker' ? attachDocker(at) : attachLocal(at)
}
