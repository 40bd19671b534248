// Real servers for the suite, its tests and its measurements: start them, attach to them, take a corner of them.
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
  /** Where data, logs and the state of the servers are kept. */
  readonly directory: string
  /** Chosen from the environment and the machine when left out. */
  readonly mode?: Mode
  /** Containers are removed when this process has ended; kept when left out. Private instances are ended by `close` alone. */
  readonly lifetime?: 'process' | 'kept'
  readonly onProgress: OnProgress
}

/**
 * Resolves with servers that accept connections: those that run in `directory`, or started with the data there, or new ones.
 * Rejects with ServersUnavailable when they cannot be had here, and with the end of the log when one does not start.
 */
export async function startServers({ directory, mode, lifetime = 'kept', onProgress }: StartOptions): Promise<Servers> {
  const named = resolve(directory)
  // Unless another mode is forced, the data that is there decides: a Docker engine that has come since does not hide it.
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
    return wanted === 'docker' ? await startDocker(at, lifetime, onProgress) : await startLocal(at, onProgress)
  })
}

/** The files that private servers of `directory` append to without a limit of their own. */
export function serverLogs(directory: string): string[] {
  return ['mysql/mysqld.log', 'rabbitmq/output.log', 'rabbitmq/epmd.log'].map((name) => join(directory, name))
}

/** Control of the servers that another process started in `directory`. Rejects when nothing was ever started there. */
export async function attachServers(directory: string): Promise<Servers> {
  const state = readState(resolve(directory))
  if (state === undefined) throw new Error(`no servers were started in ${resolve(directory)}`)
  const at = placeOf(directory)
  return state.mode === 'docker' ? attachDocker(at) : attachLocal(at)
}
