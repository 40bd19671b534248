// The state file: what the supervisor runs, and how it is, for `down`, `status` and a later `up`.
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { processIdentity } from 'testkit/processes/process-identity'
import { isCopy } from 'testkit/servers/place'
import { z } from 'zod'

const port = z.int().min(1).max(65_535)

export const rabbitmqAddress = z.object({
  host: z.string(),
  port,
  username: z.string(),
  password: z.string(),
  vhost: z.string(),
})
export const mysqlAddress = z.object({
  host: z.string(),
  port,
  user: z.string(),
  password: z.string(),
  database: z.string(),
})

const processState = z.object({
  name: z.string(),
  /** The running process; null between two attempts and when stopped. */
  process: processIdentity.nullable(),
  state: z.enum(['running', 'restarting', 'stopped']),
  restarts: z.int().nonnegative(),
  /** How it ended the last time; empty when it never did, and in the file of an earlier version. */
  lastEnd: z.string().default(''),
})
const serviceState = processState.extend({ admin: port })

const suiteState = z.object({
  /** Where it was when it was written; missing in the file of an earlier version. */
  directory: z.string().optional(),
  supervisor: processIdentity,
  phase: z.enum(['starting', 'up', 'stopping']),
  mode: z.string().nullable(),
  http: z.string(),
  rabbitmq: rabbitmqAddress.nullable(),
  mysql: mysqlAddress.nullable(),
  /** RabbitMQ and MySQL where they are ours. */
  servers: z.array(processState).default([]),
  services: z.array(serviceState),
})
export type ProcessState = z.infer<typeof processState>
export type ServiceState = z.infer<typeof serviceState>
export type SuiteState = z.infer<typeof suiteState>

/** Makes the directory of the suite, for the owner only: it holds passwords and data. */
export function makePrivateDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  // An existing directory keeps the mode it was made with, and mkdir's mode is subject to the umask.
  chmodSync(directory, 0o700)
}

/** What the file says; undefined when there is none, it is not one of ours (a disk full in the middle of an update), or a copy. */
export function readState(directory: string): SuiteState | undefined {
  try {
    const state = suiteState.safeParse(JSON.parse(readFileSync(pathOf(directory), 'utf8'))).data
    return isCopy(pathOf(directory), state?.directory) ? undefined : state
  } catch {
    return undefined
  }
}

/** Replaces the file in one step, so that a reader never sees half of it. */
export function writeState(directory: string, state: SuiteState): void {
  const next = `${pathOf(directory)}.next`
  rmSync(next, { force: true })
  writeFileSync(next, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 })
  renameSync(next, pathOf(directory))
}

export function removeState(directory: string): void {
  rmSync(pathOf(directory), { force: true })
}

function pathOf(directory: string): string {
  return join(directory, 'state.json')
}
