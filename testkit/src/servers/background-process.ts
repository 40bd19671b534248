// Server processes that outlive the process that starts them: own session, output to a file, known by pid and time of start.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { identify, isAlive, type ProcessIdentity, signalProcess } from '../processes/process-identity.ts'
import { processesStartedFor } from '../processes/started-for.ts'
import { waitFor } from './deadline.ts'

const KILLED_WITHIN_MS = 10_000
/** What a process that ends starts or leaves behind is found in the next round. */
const ROUNDS_MAX = 5

interface Program {
  readonly command: readonly [string, ...string[]]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly output: string
}

/** Starts the program in a session of its own, so that Ctrl-C in a terminal does not reach it. Rejects when it cannot be started. */
export async function startInBackground({ command, env, cwd, output }: Program): Promise<ProcessIdentity> {
  const [program, ...args] = command
  const file = openSync(output, 'a', 0o600)
  try {
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', file, file] })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    child.unref()
    const identity = child.pid === undefined ? undefined : identify(child.pid)
    if (identity === undefined) throw new Error(`${program} ended at once; its output is in ${output}`)
    return identity
  } finally {
    closeSync(file)
  }
}

/** SIGTERM, and SIGKILL when it is still there after `deadlineMs`. Resolves when it is gone. */
export async function stopProcess(identity: ProcessIdentity | undefined, deadlineMs: number): Promise<void> {
  if (identity === undefined || !signalProcess(identity, 'SIGTERM')) return
  try {
    await gone(identity, deadlineMs)
  } catch {
    await killProcess(identity)
  }
}

/** SIGKILL to the process and its group. Resolves when it is gone. */
export async function killProcess(identity: ProcessIdentity | undefined): Promise<void> {
  if (identity === undefined || !signalProcess(identity, 'SIGKILL', true)) return
  await gone(identity, KILLED_WITHIN_MS)
}

/**
 * Ends every process that was started for `folder`, those first that started the others, each with SIGTERM, and SIGKILL after
 * `deadlineMs`. Resolves with how many were found; rejects when one is still there.
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
  if (left.length > 0) throw new Error(`process ${left.join(', ')}, started for ${folder}, cannot be ended`)
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
