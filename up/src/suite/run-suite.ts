// Runs a suite, in the foreground or background, from the lock on its directory to the stop of the last server.
import { once } from 'node:events'
import { makePrivate } from 'testkit/servers/state'
import { banner } from './banner.ts'
import { boundLog } from './bound-log.ts'
import { Fleet } from './fleet.ts'
import { stopLeftovers } from './leftovers.ts'
import { checkPorts } from './ports.ts'
import { Interrupted, type Report, runStep } from './progress.ts'
import { waitForAnswer } from './readiness.ts'
import { readState, removeState } from './state.ts'
import { StateRecord } from './state-record.ts'
import type { StopRequest } from './stop-request.ts'
import { EXTERNAL, type Suite } from './suite.ts'
import { takeTurn } from './turn.ts'

const EXIT_INTERRUPTED = 130
const CHECK_LOGS_EVERY_MS = 10_000

/** Starts the suite and keeps it running until a stop is requested. Resolves with the exit code: 0, 1 (failed) or 130 (interrupted). */
export async function runSuite(suite: Suite, report: Report, request: StopRequest): Promise<number> {
  makePrivate(suite.directory)
  const code = await inTurn(suite, report, request)
  report({ kind: 'settled', code })
  return code
}

async function inTurn(suite: Suite, report: Report, request: StopRequest): Promise<number> {
  try {
    const turn = await takeTurn(suite, report, request.stop)
    if (turn.kind === 'theirs') return turn.code
    try {
      return await ownTurn(suite, report, request)
    } finally {
      turn.release()
    }
  } catch (error) {
    if (error instanceof Interrupted) return EXIT_INTERRUPTED
    throw error
  }
}

async function ownTurn(suite: Suite, report: Report, request: StopRequest): Promise<number> {
  const left = readState(suite.directory)
  const record = new StateRecord(suite, report)
  let code = 0
  const logTimer = setInterval(() => {
    for (const path of suite.endlessLogs) boundLog(path)
  }, CHECK_LOGS_EVERY_MS)
  try {
    if (left !== undefined) await stopLeftovers(suite.directory, left, suite.stopMs, report)
    record.save()
    await startAll(suite, report, request.stop, record)
    record.phase = 'up'
    record.save()
    if (record.servers !== undefined) report({ kind: 'note', text: banner(suite, record.servers) })
    report({ kind: 'settled', code: 0 })
    if (!request.stop.aborted) await once(request.stop, 'abort')
  } catch (error) {
    // The failed step has already been reported.
    code = error instanceof Interrupted ? EXIT_INTERRUPTED : 1
  }
  clearInterval(logTimer)
  return (await stopAll(suite, report, request.hurry, record)) ? code : 1
}

async function startAll(suite: Suite, report: Report, stop: AbortSignal, record: StateRecord): Promise<void> {
  const goOn = () => {
    if (stop.aborted) throw new Interrupted()
  }
  await runStep(report, 'ports', async () => {
    await checkPorts(suite.ports)
    return {
      text: `${suite.ports
        .map(({ port }) => port)
        .sort((a, b) => a - b)
        .join(', ')} are free`,
      value: undefined,
    }
  })
  goOn()
  const fleet = new Fleet(suite, report, () => record.save())
  record.fleet = fleet
  const servers = await runStep(report, 'RabbitMQ and MySQL', async (detail) => {
    const value = await suite.startServers(detail)
    // The servers are recorded before the next step can fail, so that `down` can stop them.
    record.servers = value
    record.save()
    fleet.watch(value.processes)
    const { mode, rabbitmq, mysql } = value
    return { text: `${mode}, on ${rabbitmq.host}:${rabbitmq.port} and ${mysql.host}:${mysql.port}`, value }
  })
  goOn()
  await runStep(report, 'database schema', async (detail) => {
    const { applied } = await suite.migrate(servers, detail)
    return { text: applied.length === 0 ? 'up to date' : `applied ${applied.join(', ')}`, value: undefined }
  })
  goOn()
  fleet.start(suite.services(servers))
  await fleet.waitUntilReady(stop)
  await runStep(report, 'health check', async () => {
    const url = `${suite.http}/healthcheck`
    const status = await waitForAnswer(url, suite.readyMs, stop)
    return { text: `GET ${url} returned ${status}${status === 401 ? ' without an API key' : ''}`, value: undefined }
  })
}

/** Stops all processes in order. Returns false when the servers could not be stopped. The state file is then kept for `down`. */
async function stopAll(suite: Suite, report: Report, hurry: AbortSignal, record: StateRecord): Promise<boolean> {
  const { fleet, servers } = record
  record.phase = 'stopping'
  record.save()
  if (fleet !== undefined && servers !== undefined)
    report({ kind: 'note', text: 'Stopping in order. Press Ctrl-C again to kill the services at once.' })
  await fleet?.stopServices(hurry)
  if (servers !== undefined && servers.mode !== EXTERNAL) {
    try {
      await fleet?.stopServers(hurry)
      await servers.close({ deleteData: false })
      report({ kind: 'note', text: 'RabbitMQ and MySQL stopped; their data is kept' })
    } catch (error) {
      report({ kind: 'note', text: `! RabbitMQ and MySQL could not be stopped: ${String(error)}` })
      return false
    }
  }
  removeState(suite.directory)
  return true
}
