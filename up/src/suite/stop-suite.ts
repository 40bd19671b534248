// Stops a running suite from another process, or the processes that an earlier suite has left.
import { setTimeout as sleep } from 'node:timers/promises'
import { claimDirectory } from 'testkit/processes/claim'
import { isAlive, signalProcess } from 'testkit/processes/process-identity'
import { killProcess } from 'testkit/servers/background-process'
import { makePrivate } from 'testkit/servers/state'
import { stopLeftovers } from './leftovers.ts'
import type { Report } from './progress.ts'
import { readState, removeState, type SuiteState } from './state.ts'
import { EXTERNAL, type Suite, stopStages } from './suite.ts'

const CHECK_EVERY_MS = 100

/** Time to stop RabbitMQ and MySQL, in addition to the time for the two stages of services. */
const SERVERS_STOP_MS = 60_000

/** Stops all processes and reports each step. With `deleteData`, also deletes the data of RabbitMQ and MySQL. Resolves with the exit code. */
export async function stopSuite(suite: Suite, options: { deleteData: boolean }, report: Report): Promise<number> {
  makePrivate(suite.directory)
  const state = readState(suite.directory)
  if (state !== undefined && isAlive(state.supervisor)) await stopSupervisor(suite, state, report)
  const release = claimDirectory(suite.directory)
  if (release === undefined) {
    report({
      kind: 'note',
      text: 'The suite is being started. Try again when `npm run status` shows it.',
    })
    return 1
  }
  try {
    await clear(suite, state, options, report)
    return 0
  } catch (error) {
    report({ kind: 'note', text: `! ${error instanceof Error ? error.message : String(error)}` })
    return 1
  } finally {
    release()
  }
}

async function clear(
  suite: Suite,
  before: SuiteState | undefined,
  { deleteData }: { deleteData: boolean },
  report: Report,
): Promise<void> {
  const left = readState(suite.directory)
  if (before === undefined) report({ kind: 'note', text: 'Nothing is running.' })
  if (left !== undefined) await stopLeftovers(suite.directory, left, suite.stopMs, report)
  if (before?.mode === EXTERNAL) {
    const external = 'RabbitMQ and MySQL are external and were not stopped'
    report({ kind: 'note', text: deleteData ? `${external}; their data was not deleted` : external })
  } else if (left !== undefined || deleteData) {
    report({ kind: 'note', text: await suite.clearServers({ deleteData }) })
  }
  removeState(suite.directory)
}

async function stopSupervisor(suite: Suite, state: SuiteState, report: Report): Promise<void> {
  const { supervisor } = state
  if (state.phase !== 'stopping') signalProcess(supervisor, 'SIGTERM')
  const endsAt = performance.now() + 2 * suite.stopMs + SERVERS_STOP_MS
  const reported = new Set<string>()
  const note = (text: string) => {
    if (!reported.has(text)) report({ kind: 'note', text })
    reported.add(text)
  }
  while (isAlive(supervisor)) {
    const now = readState(suite.directory)
    const services = stopStages(now?.services ?? []).flat()
    for (const { name, state: how } of services) if (how === 'stopped') note(`${name} stopped`)
    if (performance.now() > endsAt) {
      await killProcess(supervisor)
      return note(`The supervisor (process ${supervisor.pid}) did not stop in time and was killed.`)
    }
    await sleep(CHECK_EVERY_MS)
  }
  if (readState(suite.directory) !== undefined) return
  for (const { name } of stopStages(state.services).flat()) note(`${name} stopped`)
  if (state.mode !== null && state.mode !== EXTERNAL) note('RabbitMQ and MySQL stopped')
}
