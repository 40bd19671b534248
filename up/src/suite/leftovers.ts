// Stops services that outlived their supervisor (it was killed, or the machine lost power). The state file names them.
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, type ProcessIdentity, signalProcess } from 'testkit/processes/process-identity'
import { stopAllStartedFor } from 'testkit/servers/background-process'
import { placeOf } from 'testkit/servers/place'
import type { Report } from './progress.ts'
import type { SuiteState } from './state.ts'
import { stopStages } from './suite.ts'

const LOOK_EVERY_MS = 50

/** Stops the services that still run, in order, with SIGKILL after `stopMs`. Returns how many there were. */
export async function stopLeftovers(
  directory: string,
  state: SuiteState,
  stopMs: number,
  report: Report,
): Promise<number> {
  let stopped = 0
  for (const stage of stopStages(state.services)) {
    await Promise.all(
      stage.map(async ({ name, process: identity }) => {
        if (identity === null || !isAlive(identity)) return
        stopped += 1
        const how = await end(identity, stopMs)
        report({ kind: 'note', text: `${name} (process ${identity.pid}, left over from an earlier run) ${how}` })
      }),
    )
  }
  // Services that were started but not recorded before the supervisor died.
  stopped += await stopAllStartedFor(state.directory ?? placeOf(directory), stopMs)
  return stopped
}

async function end(identity: ProcessIdentity, stopMs: number): Promise<string> {
  signalProcess(identity, 'SIGTERM')
  if (await isGone(identity, stopMs)) return 'stopped'
  signalProcess(identity, 'SIGKILL', true)
  return (await isGone(identity, stopMs)) ? `killed, for it did not stop in ${stopMs / 1000} s` : 'cannot be stopped'
}

/** True when the process ends within `ms` milliseconds. */
export async function isGone(identity: ProcessIdentity, ms: number): Promise<boolean> {
  const endsAt = performance.now() + ms
  while (isAlive(identity)) {
    if (performance.now() > endsAt) return false
    await sleep(LOOK_EVERY_MS)
  }
  return true
}
