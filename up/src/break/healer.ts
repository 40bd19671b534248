// The detached process that freezes processes or containers and heals them: after a time, or at once when the command that
// started it has exited.
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { isStopped, processIdentity, signalProcess } from 'testkit/processes/process-identity'
import { z } from 'zod'

const breakage = z.object({
  /** Processes of this machine. A frozen process keeps its connections and does not respond. */
  processes: z.array(processIdentity),
  /** Services of the compose project in this directory. They are frozen in the same way. */
  compose: z.object({ directory: z.string(), services: z.array(z.string()) }).optional(),
  forMs: z.int().positive(),
  /** Freezes repeatedly for this long, so that responses are delayed by up to this time. */
  latencyMs: z.int().positive().optional(),
})
export type Breakage = z.infer<typeof breakage>

/** The pause between two freezes. It is long enough to send responses. */
const THAWED_MS = 50
const STOPS_WITHIN_MS = 5_000
/** Written to standard output after each freeze. */
const BROKEN = 'broken\n'

/**
 * Waits until the processes are stopped, because a signal takes effect with a delay on a busy machine. The wait is limited,
 * because another program may continue a process.
 */
async function stopped(processes: Breakage['processes']): Promise<void> {
  const endMs = performance.now() + STOPS_WITHIN_MS
  while (!processes.every(isStopped) && performance.now() < endMs) await sleep(1)
}

async function freeze(what: Breakage, isFrozen: boolean): Promise<void> {
  for (const each of what.processes) signalProcess(each, isFrozen ? 'SIGSTOP' : 'SIGCONT')
  if (isFrozen) await stopped(what.processes)
  if (what.compose === undefined) return
  const { directory, services } = what.compose
  const verb = isFrozen ? 'pause' : 'unpause'
  await promisify(execFile)('docker', ['compose', '--project-directory', directory, verb, ...services])
}

if (import.meta.main) {
  const what = breakage.parse(JSON.parse(process.argv[2] ?? ''))
  const over = new AbortController()
  setTimeout(() => over.abort(), what.forMs)
  // The command holds the other end of this pipe. The pipe closes when the command exits, even by SIGKILL.
  process.stdin.on('close', () => over.abort()).resume()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => over.abort())
  // The command may have exited already.
  process.stdout.on('error', () => undefined)
  let isFrozen = false
  const set = async (frozen: boolean) => {
    // Docker fails if it must continue a container that is not paused.
    if (frozen === isFrozen) return
    // This is set before the freeze, because a freeze that fails may have frozen some containers.
    if (frozen) isFrozen = true
    await freeze(what, frozen)
    isFrozen = frozen
  }
  const wait = (ms: number) => sleep(ms, undefined, { signal: over.signal }).catch(() => undefined)
  try {
    do {
      await set(true)
      process.stdout.write(BROKEN)
      await wait(what.latencyMs ?? what.forMs)
      if (what.latencyMs === undefined) break
      await set(false)
      await wait(THAWED_MS)
    } while (!over.signal.aborted)
  } finally {
    await set(false)
    // The timer and the pipe would keep this process alive.
    process.exit()
  }
}
