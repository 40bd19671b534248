// Server processes that outlive the process that starts them: own session, output to a file, known by pid and time of start.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { identify, isAlive, type ProcessIdentity, signalProcess } from '../suite/process-identity.ts'
import { waitFor } from './deadline.ts'

const KILLED_WITHIN_MS = 10_000

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

async function gone(identity: ProcessIdentity, withinMs: number): Promise<void> {
  await waitFor({
    what: `end of process ${identity.pid}`,
    withinMs,
    logs: [],
    attempt: async () => (isAlive(identity) ? undefined : true),
  })
}
