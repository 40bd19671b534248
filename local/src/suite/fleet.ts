// All services of the suite together: started at once, waited for one by one, stopped in order.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceSpec } from './child.ts'
import { legible } from './log-line.ts'
import { type Report, runStep, StepFailed } from './progress.ts'
import { askReadiness, until } from './readiness.ts'
import type { ServiceState } from './state.ts'
import { type Suite, stopStages } from './suite.ts'
import { describeExit, EXIT_CONFIG, SupervisedService } from './supervised-service.ts'

/** Where the logs of a suite are. */
export function logDirectory(directory: string): string {
  return join(directory, 'logs')
}

/** Where a supervisor in the background tells what it does. */
export function supervisorLog(directory: string): string {
  return join(logDirectory(directory), 'up.log')
}

/** A service that starts in this time needs no words about what it waits for. */
const QUIET_MS = 5_000

export class Fleet {
  readonly #suite: Suite
  readonly #report: Report
  readonly #services: readonly SupervisedService[]

  /** `changed` is called whenever a snapshot would differ from the one before. */
  constructor(suite: Suite, specs: readonly ServiceSpec[], report: Report, changed: () => void) {
    this.#suite = suite
    this.#report = report
    mkdirSync(logDirectory(suite.directory), { recursive: true, mode: 0o700 })
    this.#services = specs.map((spec) => {
      const logPath = join(logDirectory(suite.directory), `${spec.name}.log`)
      return new SupervisedService(spec, logPath, suite.restart, {
        changed,
        died: (service, exit, restartInMs) => {
          const last = exit.lastLines.map((line) => `\n    ${legible(line)}`).join('')
          const again = `starting it again in ${restartInMs / 1000} s`
          report({
            kind: 'note',
            text: `! ${service.spec.name} died (${describeExit(exit)}); ${again}. Its last lines:${last}`,
          })
        },
        line: (name, line) => report({ kind: 'log', service: name, text: legible(line) }),
      })
    })
  }

  start(): void {
    for (const service of this.#services) service.start()
  }

  /** One step per service. Rejects with StepFailed when one is not ready in time, or says that its configuration is wrong. */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    for (const service of this.#services) {
      await runStep(this.#report, service.spec.name, async (detail) => {
        const quietUntil = performance.now() + QUIET_MS
        let said = ''
        await until(this.#suite.readyMs, signal, async () => {
          throwWhenMisconfigured(service)
          const { state, reason } = await askReadiness(service.spec.adminPort)
          if (state !== 'ready' && reason !== said && performance.now() > quietUntil) {
            detail(reason)
            said = reason
          }
          return state === 'ready' ? undefined : `${service.spec.name} is not ready: ${reason}`
        })
        return { text: `ready, process ${service.snapshot().process?.pid}`, value: undefined }
      })
    }
  }

  /** Stops all, in order, each with the suite's deadline. `hurry` kills what is left at once. */
  async stop(hurry: AbortSignal): Promise<void> {
    for (const stage of stopStages(this.#services)) {
      await Promise.all(
        stage.map(async (service) => {
          await service.stop(this.#suite.stopMs, hurry)
          this.#report({ kind: 'note', text: `${service.spec.name} stopped` })
        }),
      )
    }
  }

  snapshots(): ServiceState[] {
    return this.#services.map((service) => service.snapshot())
  }
}

function throwWhenMisconfigured({ spec, lastExit }: SupervisedService): void {
  if (lastExit?.code !== EXIT_CONFIG) return
  throw new StepFailed(
    [`${spec.name} ended with ${describeExit(lastExit)}`, ...lastExit.lastLines.map(legible)].join('\n'),
    'Correct the environment variables it names, then run `npm run up` again.',
  )
}
