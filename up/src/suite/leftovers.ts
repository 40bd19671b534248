// Stops services that still run after their supervisor was killed. The state file names them.
import { isAlive } from 'testkit/processes/process-identity'
import { stopAllStartedFor, stopProcess } from 'testkit/servers/background-process'
import { placeOf } from 'testkit/servers/place'
import type { Report } from './progress.ts'
import type { SuiteState } from './state.ts'
import { stopStages } from './suite.ts'

/** Stops the services that still run, in order, with SIGKILL after `stopMs`. Returns their number. */
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
        const isInTime = await stopProcess(identity, stopMs)
        const how = isInTime ? 'stopped' : `killed because it did not stop within ${stopMs / 1000} s`
        report({ kind: 'note', text: `${name} (process ${identity.pid}, left over from an earlier run) ${how}` })
      }),
    )
  }
  // Also stops services that were started, but not recorded before the supervisor died.
  stopped += await stopAllStartedFor(state.directory ?? placeOf(directory), stopMs)
  return stopped
}
