// Stops a running suite from outside, or the remains of an earlier one.
import { setTimeout as sleep } from 'node:timers/promises'
import { claimDirectory } from 'testkit/processes/claim'
import { isAlive, signalProcess } from 'testkit/processes/process-identity'
import { killProcess } from 'testkit/servers/background-process'
import { stopLeftovers } from './leftovers.ts'
import type { Report } from './progress.ts'
import { makePrivateDirectory, readState, removeState, type SuiteState } from './state.ts'
import { EXTERNAL, type Suite, stopStages } from './suite.ts'

const LOOK_EVERY_MS = 100

/** Time for RabbitMQ and MySQL, in addition to the services' own deadlines (two stages). */
const SERVERS_STOP_MS = 60_000

/** Stops everything and prints each step. With `deleteData` also deletes RabbitMQ's and MySQL's data. Resolves with the exit code. */
export async function stopSuite(suite: Suite, options: { deleteData: boolean }, report: Report): Promise<number> {
  makePrivateDirectory(suite.directory)
  const state = readState(suite.directory)
  if (state !== undefined && isAlive(state.supervisor)) await stopSupervisor(suite, state, report)
  const release = claimDirectory(suite.directory)
  if (release === undefined) {
    report({
      kind: 'note',
      text: 'The suite is being started at this moment; try again when `npm run status` shows it.',
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
    const untouched = 'RabbitMQ and MySQL are not ours (external): they run on'
    report({ kind: 'note', text: deleteData ? `${untouched}, and their data was not touched` : untouched })
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
  const tell = (text: string) => {
    if (!reported.has(text)) report({ kind: 'note', text })
    reported.add(text)
  }
  while (isAlive(supervisor)) {
    const now = readState(suite.directory)
    const services = stopStages(now?.services ?? []).flat()
    for (const { name, state: how } of services) if (how === 'stopped') tell(`${name} stopped`)
    if (performance.now() > endsAt) {
      await killProcess(supervisor)
      return tell(`The supervisor (process ${supervisor.pid}) did not end in time and was killed.`)
    }
    await sleep(LOOK_EVERY_MS)
  }
  if (readState(suite.directory) !== undefined) return
  for (const { name } of stopStages(state.services).flat()) tell(`${name} stopped`)
  if (state.mode !== null && state.mode !== EXTERNAL) tell('RabbitMQ and MySQL stopped')
}
