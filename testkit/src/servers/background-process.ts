// Server processes that outlive the process that starts them. Each has its own session, and writes its output to a file.
import { closeSync, openSync } from 'node:fs'
import { identify, isAlive, type ProcessIdentity, signalProcess } from '../processes/process-identity.ts'
import { start } from '../processes/start.ts'
import { processesStartedFor } from '../processes/started-for.ts'
import { waitFor } from './deadline.ts'

const KILLED_WITHIN_MS = 10_000
/** Each round also finds processes that were started during the previous one. */
const ROUNDS_MAX = 5

interface Program {
  readonly command: readonly [string, ...string[]]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly output: string
}

/** Starts the program in its own session, so that Ctrl-C in the terminal does not reach it. Rejects when it cannot be started. */
export async function startInBackground({ command, env, cwd, output }: Program): Promise<ProcessIdentity> {
  const file = openSync(output, 'a', 0o600)
  try {
    const { child, ended } = start({ command, cwd, env, ownGroup: true, stdio: ['ignore', file, file] })
    child.unref()
    if (child.pid === undefined) throw (await ended).error
    const identity = child.pid === undefined ? undefined : identify(child.pid)
    if (identity === undefined) throw new Error(`${command[0]} exited at once; its output is in ${output}`)
    return identity
  } finally {
    closeSync(file)
  }
}

/**
 * Sends SIGTERM. If the process still runs after `deadlineMs`, sends SIGKILL to its group. Resolves when the process has
 * exited: true if it stopped in time.
 */
export async function stopProcess(identity: ProcessIdentity | undefined, deadlineMs: number): Promise<boolean> {
  if (identity === undefined || !signalProcess(identity, 'SIGTERM')) return true
  try {
    await gone(identity, deadlineMs)
    return true
  } catch {
    await killProcess(identity)
    return false
  }
}

/** Sends SIGKILL to the process group that the process leads, or to the process alone. Resolves when the process has exited. */
export async function killProcess(identity: ProcessIdentity | undefined): Promise<void> {
  if (identity === undefined) return
  if (!signalProcess(identity, 'SIGKILL', true) && !signalProcess(identity, 'SIGKILL')) return
  await gone(identity, KILLED_WITHIN_MS)
}

/**
 * Stops every process that was started for `folder`, parents first: SIGTERM, then SIGKILL after `deadlineMs`. Resolves
 * with the number of processes found. Rejects when one still runs.
 */
export async function stopAllStartedFor(folder: string, deadlineMs: number): Promise<number> {
  let count = 0
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const found = processesStartedFor(folder)
    if (found.length === 0) return count
    count = Math.max(count, found.length)
    await Promise.all(found.filter(({ isRoot }) => isRoot).map((each) => stopProcess(each, deadlineMs)))
  }
  const left = processesStartedFor(folder).map(({ pid }) => pid)
  if (left.length > 0) throw new Error(`process ${left.join(', ')}, started for ${folder}, cannot be stopped`)
  return count
}

async function gone(identity: ProcessIdentity, withinMs: number): Promise<void> {
  await waitFor({
    what: `end of process ${identity.pid}`,
    withinMs,
    logs: [],
    attempt: async () => (isAlive(identity) ? undefined : true),
  })
}
