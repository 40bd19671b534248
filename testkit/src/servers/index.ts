// Real servers for the suite, its tests and its benchmarks: start them, attach to them, create a vhost and database on them.
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
  /** Chosen from the environment and the machine when omitted. */
  readonly mode?: Mode
  /** Removes containers when this process has ended; otherwise they stay. Private instances are ended only by `close`. */
  readonly lifetime?: 'process' | 'kept'
  readonly onProgress: OnProgress
  /** Ends the start of private servers, which then rejects and leaves no process behind. */
  readonly interrupted?: AbortSignal
}

/**
 * Resolves with servers that accept connections: those already running in `directory`, started on the data there, or
 * new. Rejects with ServersUnavailable when this machine cannot run them, and with the end of the log when one does not
 * start.
 */
export async function startServers(options: StartOptions): Promise<Servers> {
  const { directory, mode, lifetime = 'kept', onProgress, interrupted } = options
  const named = resolve(directory)
  // Unless a mode is forced, existing data decides. A Docker engine that was installed later does not hide it.
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

/** The files that private servers of `directory` append to without limiting their size. */
export function serverLogs(directory: string): string[] {
  return ['mysql/mysqld.log', 'rabbitmq/output.log', 'rabbitmq/epmd.log'].map((name) => join(directory, name))
}

/** Controls the servers that another process started in `directory`. Rejects when none were ever started there. */
export async function attachServers(directory: string): Promise<Servers> {
  const state = readState(resolve(directory))
  if (state === undefined) throw new Error(`no servers were started in ${resolve(directory)}`)
  const at = placeOf(directory)
  return state.mode === 'docker' ? attachDocker(at) : attachLocal(at)
}
