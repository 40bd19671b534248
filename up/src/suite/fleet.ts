// All processes of the suite. Servers and services are restarted when they exit. Services start together and stop in order.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startedFor } from 'testkit/processes/started-for'
import { placeOf } from 'testkit/servers/place'
import type { ServerProcess } from 'testkit/servers/servers'
import { type Exit, type ServiceSpec, startChild } from './child.ts'
import { legible } from './log-line.ts'
import { type Report, runStep, StepFailed } from './progress.ts'
import { askReadiness, until } from './readiness.ts'
import type { ProcessState, ServiceState } from './state.ts'
import { type Suite, stopStages } from './suite.ts'
import { describeEnd, describeExit, EXIT_CONFIG, type Supervisable, SupervisedProcess } from './supervised-process.ts'
import { watchServer } from './watched-server.ts'

/** The directory of a suite's logs. */
export function logDirectory(directory: string): string {
  return join(directory, 'logs')
}

/** The log file of a background supervisor. */
export function supervisorLog(directory: string): string {
  return join(logDirectory(directory), 'up.log')
}

/** `up` prints why a service is not ready only after this time. */
const QUIET_MS = 2_000

/** The errors with which RabbitMQ and MySQL reject a user, a password or a vhost. */
const ACCESS_REFUSED =
  /\bACCESS[-_]REFUSED\b|\bNOT_ALLOWED - (vhost .* not found|access to vhost)|\bAccess denied for user\b/

type Service = ServiceSpec & Supervisable

export class Fleet {
  readonly #suite: Suite
  readonly #report: Report
  readonly #changed: () => void
  #servers: readonly SupervisedProcess[] = []
  #services: readonly SupervisedProcess<Service>[] = []

  /** `changed` is called whenever the state of a process has changed. */
  constructor(suite: Suite, report: Report, changed: () => void) {
    this.#suite = suite
    this.#report = report
    this.#changed = changed
    mkdirSync(logDirectory(suite.directory), { recursive: true, mode: 0o700 })
  }

  /** Supervises servers that are running: restarts them when they exit. */
  watch(servers: readonly ServerProcess[]): void {
    this.#servers = servers.map((server) =>
      this.#supervised({
        name: server.name,
        launch: (changed) => watchServer(server, () => this.#serves(server.name, changed)),
      }),
    )
    for (const server of this.#servers) server.start()
  }

  start(specs: readonly ServiceSpec[]): void {
    const mark = startedFor(placeOf(this.#suite.directory))
    this.#services = specs.map((spec) => {
      const logPath = join(logDirectory(this.#suite.directory), `${spec.name}.log`)
      const onLine = (line: string) => this.#report({ kind: 'log', service: spec.name, text: legible(line) })
      return this.#supervised({
        ...spec,
        launch: () => startChild({ ...spec, env: { ...spec.env, ...mark } }, logPath, onLine),
      })
    })
    for (const service of this.#services) service.start()
  }

  /** Waits for each service, as one step. Rejects with StepFailed on timeout, and at once for an error that waiting cannot fix. */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    for (const service of this.#services) {
      await runStep(this.#report, service.what.name, async (detail) => {
        const quietUntil = performance.now() + QUIET_MS
        let logged = ''
        await until(this.#suite.readyMs, signal, async () => {
          throwWhenMisconfigured(service)
          const { state, reason: answer } = await askReadiness(service.what.adminPort)
          const reason = [endOf(service), answer].filter((text) => text !== '').join('; ')
          if (ACCESS_REFUSED.test(reason))
            throw new StepFailed(
              reason,
              'Correct the user, the password, the vhost or the permissions, then run `npm run up` again.',
            )
          if (state !== 'ready' && reason !== logged && performance.now() > quietUntil) {
            detail(reason)
            logged = reason
          }
          return state === 'ready' ? undefined : `${service.what.name} is not ready: ${reason}`
        })
        return { text: `ready, process ${service.snapshot().process?.pid}`, value: undefined }
      })
    }
  }

  /** Stops all services in order, each with the suite's timeout. When `hurry` aborts, kills the remaining ones at once. */
  async stopServices(hurry: AbortSignal): Promise<void> {
    for (const stage of stopStages(this.#services)) {
      await Promise.all(
        stage.map(async (service) => {
          await service.stop(this.#suite.stopMs, hurry)
          this.#report({ kind: 'note', text: `${service.what.name} stopped` })
        }),
      )
    }
  }

  async stopServers(hurry: AbortSignal): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop(this.#suite.stopMs, hurry)))
  }

  serverStates(): ProcessState[] {
    return this.#servers.map((server) => server.snapshot())
  }

  serviceStates(): ServiceState[] {
    return this.#services.map((service) => ({ ...service.snapshot(), admin: service.what.adminPort }))
  }

  #serves(name: string, changed: () => void): void {
    changed()
    if (this.serverStates().some((server) => server.name === name && server.restarts > 0))
      this.#report({ kind: 'note', text: `${name} was restarted and accepts connections` })
  }

  #supervised<What extends Supervisable>(what: What): SupervisedProcess<What> {
    const ended = (name: string, exit: Exit, restartInMs: number) => {
      const last = exit.lastLines.map((line) => `\n    ${legible(line)}`).join('')
      const again = `restarting it in ${restartInMs / 1000} s`
      const text = `! ${name} ${describeEnd(exit)}; ${again}.${last === '' ? '' : ` Its last lines:${last}`}`
      this.#report({ kind: 'note', text })
    }
    return new SupervisedProcess(what, this.#suite.restart, { changed: this.#changed, ended })
  }
}

/** How the service last ended. A service that exits repeatedly cannot report a reason itself. */
function endOf({ lastExit }: SupervisedProcess<Service>): string {
  if (lastExit === undefined) return ''
  return [`it ${describeEnd(lastExit)}`, ...lastExit.lastLines.slice(-1).map(legible)].join(': ')
}

function throwWhenMisconfigured({ what, lastExit }: SupervisedProcess<Service>): void {
  if (lastExit?.code !== EXIT_CONFIG) return
  throw new StepFailed(
    [`${what.name} ended with ${describeExit(lastExit)}`, ...lastExit.lastLines.map(legible)].join('\n'),
    'Correct the environment variables that it names, then run `npm run up` again.',
  )
}
