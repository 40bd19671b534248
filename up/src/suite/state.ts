// The state file. It names the processes of the supervisor and their states, for `down`, `status` and a later `up`.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { portNumber as port } from '@ims/runtime/variables'
import { processIdentity } from 'testkit/processes/process-identity'
import { isCopy } from 'testkit/servers/place'
import { z } from 'zod'

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
  /** The running process. Null while it is stopped or waits for a restart. */
  process: processIdentity.nullable(),
  state: z.enum(['running', 'restarting', 'stopped']),
  restarts: z.int().nonnegative(),
  /** How the process last ended. Empty when it has never ended, and in files of an earlier version. */
  lastEnd: z.string().default(''),
})
const serviceState = processState.extend({ admin: port })

const suiteState = z.object({
  /** The path of the directory when the file was written. Missing in files of an earlier version. */
  directory: z.string().optional(),
  supervisor: processIdentity,
  phase: z.enum(['starting', 'up', 'stopping']),
  mode: z.string().nullable(),
  http: z.string(),
  rabbitmq: rabbitmqAddress.nullable(),
  mysql: mysqlAddress.nullable(),
  /** RabbitMQ and MySQL, if `up` runs them as processes. */
  servers: z.array(processState).default([]),
  services: z.array(serviceState),
})
export type ProcessState = z.infer<typeof processState>
export type ServiceState = z.infer<typeof serviceState>
export type SuiteState = z.infer<typeof suiteState>

/** The content of the file. Undefined when the file is missing, damaged, or a copy. */
export function readState(directory: string): SuiteState | undefined {
  try {
    const state = suiteState.safeParse(JSON.parse(readFileSync(pathOf(directory), 'utf8'))).data
    return isCopy(pathOf(directory), state?.directory) ? undefined : state
  } catch {
    return undefined
  }
}

/** Replaces the file atomically, so that a reader never reads an incomplete file. */
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
