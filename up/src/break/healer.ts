// The detached process that breaks something and heals it: after a time, or at once when the command that started it is gone.
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { isStopped, processIdentity, signalProcess } from 'testkit/processes/process-identity'
import { z } from 'zod'

export const breakage = z.object({
  /** Processes of this machine. Each is frozen: it keeps its connections and answers nothing. */
  processes: z.array(processIdentity),
  /** Services of the compose project in this directory, frozen alike. */
  compose: z.object({ directory: z.string(), services: z.array(z.string()) }).optional(),
  forMs: z.int().positive(),
  /** Freezes for this long, again and again, so that answers come up to this much later. */
  latencyMs: z.int().positive().optional(),
})
export type Breakage = z.infer<typeof breakage>

/** The pause between two freezes, long enough for answers to leave. */
const FLOWS_MS = 50
const STOPS_WITHIN_MS = 5_000
/** Written to standard output after each freeze. */
const BROKEN = 'broken\n'

/** A busy machine stops a process some time after the signal was sent. Somebody may continue one meanwhile, so not for ever. */
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
  // The other end of this pipe is the command. It closes when the command ends, also by SIGKILL.
  process.stdin.on('close', () => over.abort()).resume()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => over.abort())
  // The command may have ended already.
  process.stdout.on('error', () => undefined)
  let isFrozen = false
  const set = async (frozen: boolean) => {
    // Docker refuses to continue a container that is not paused.
    if (frozen === isFrozen) return
    // Before it begins, because a pause that fails may have frozen some.
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
      await wait(FLOWS_MS)
    } while (!over.signal.aborted)
  } finally {
    await set(false)
    // Its timer and the pipe would keep it alive.
    process.exit()
  }
}
