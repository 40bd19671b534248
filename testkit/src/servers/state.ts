// The file servers.json. With it, any process of the same user can find, control and restart the servers of a directory.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { portNumber as port } from '@ims/runtime/variables'
import { z } from 'zod'
import { processIdentity } from '../processes/process-identity.ts'
import { ServersUnavailable } from './servers.ts'

/** The mode of a directory like /tmp. */
const STICKY = 0o1000

const localState = z.object({
  mode: z.literal('local'),
  /** The path of the directory when the file was written. Missing in older files. */
  directory: z.string().optional(),
  rabbitmq: z.object({
    port,
    distributionPort: port,
    epmdPort: port,
    username: z.string(),
    password: z.string(),
    cookie: z.string(),
    version: z.string(),
    /** The name of the node whose data this is. Missing in older files. */
    nodeName: z.string().optional(),
    /** True when the policies are loaded, or the node has joined its cluster. */
    prepared: z.boolean(),
    process: processIdentity.optional(),
    epmd: processIdentity.optional(),
  }),
  mysql: z.object({
    port,
    user: z.string(),
    password: z.string(),
    database: z.string(),
    version: z.string(),
    /** True when the data directory is complete. */
    prepared: z.boolean(),
    /** The folder of the socket, if its path in the directory would be too long. */
    socketFolder: z.string().optional(),
    process: processIdentity.optional(),
  }),
})
export type LocalState = z.infer<typeof localState>

const dockerState = z.object({
  mode: z.literal('docker'),
  rabbitmq: z.object({
    container: z.string(),
    port,
    username: z.string(),
    password: z.string(),
    version: z.string(),
    prepared: z.boolean(),
  }),
  mysql: z.object({
    container: z.string(),
    port,
    user: z.string(),
    password: z.string(),
    rootPassword: z.string(),
    database: z.string(),
    version: z.string(),
    prepared: z.boolean(),
  }),
})
export type DockerState = z.infer<typeof dockerState>

const state = z.discriminatedUnion('mode', [localState, dockerState])
export type State = z.infer<typeof state>

/** The content of servers.json. Undefined when no servers were ever started in the directory. Throws when the file is damaged. */
export function readState(directory: string): State | undefined {
  const path = statePath(directory)
  if (!existsSync(path)) return undefined
  const parsed = state.safeParse(parsedJson(readFileSync(path, 'utf8')))
  if (parsed.success) return parsed.data
  throw new ServersUnavailable(
    `${path} is damaged. Stop the servers of ${directory}, if any run, and delete that directory: their data cannot be used without this file.`,
  )
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Replaces the file atomically. It holds passwords, so only the owner can read it. */
export function writeState(directory: string, value: State): void {
  const path = statePath(directory)
  const next = `${path}.${process.pid}.next`
  writeFileSync(next, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 })
  renameSync(next, path)
}

/** Creates the directory, or changes its mode, so that other users cannot enter it. */
export function makePrivate(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if ((statSync(directory).mode & STICKY) !== 0)
    throw new ServersUnavailable(`${directory} is shared by all users: choose a directory in it`)
  // mkdir does not change the mode of an existing directory, and applies the umask.
  chmodSync(directory, 0o700)
}

/** The path of servers.json in the directory. */
export function statePath(directory: string): string {
  return join(directory, 'servers.json')
}
