// Keeps one service running: a dead child is reported and started again, later and later while it keeps dying.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Child, type Exit, type ServiceSpec, startChild } from './child.ts'
import type { ServiceState } from './state.ts'

/** The exit code of a service whose configuration is wrong (EX_CONFIG of sysexits.h): trying again soon cannot help. */
export const EXIT_CONFIG = 78

/** Milliseconds: the first wait before a restart, doubled each time up to the longest; forgotten after a life this long. */
export interface RestartPolicy {
  readonly firstMs: number
  readonly longestMs: number
  readonly forgottenAfterMs: number
}

export interface Watcher {
  changed(): void
  died(service: SupervisedService, exit: Exit, restartInMs: number): void
  line(name: string, line: string): void
}

/** Milliseconds to wait before restart number `deaths` in a row (1, 2, …). */
export function restartDelayMs(policy: RestartPolicy, deaths: number, exit: Pick<Exit, 'code'>): number {
  if (exit.code === EXIT_CONFIG) return policy.longestMs
  return Math.min(policy.longestMs, policy.firstMs * 2 ** Math.min(deaths - 1, 30))
}

/** `exit code 1` or `signal SIGKILL`, as a reader wants it. */
export function describeExit({ code, signal }: Pick<Exit, 'code' | 'signal'>): string {
  if (signal !== null) return `killed by ${signal}`
  if (code === null) return 'could not be started'
  return code === EXIT_CONFIG ? `exit code ${code}: its configuration is wrong` : `exit code ${code}`
}

export class SupervisedService {
  readonly spec: ServiceSpec
  readonly #logPath: string
  readonly #policy: RestartPolicy
  readonly #watcher: Watcher
  readonly #stopping = new AbortController()
  #child: Child | undefined
  #state: ServiceState['state'] = 'stopped'
  #restarts = 0
  #lastExit: Exit | undefined
  #ended: Promise<void> | undefined

  constructor(spec: ServiceSpec, logPath: string, policy: RestartPolicy, watcher: Watcher) {
    this.spec = spec
    this.#logPath = logPath
    this.#policy = policy
    this.#watcher = watcher
  }

  get lastExit(): Exit | undefined {
    return this.#lastExit
  }

  start(): void {
    this.#ended = this.#keepRunning()
  }

  /** Ends supervision and the child: SIGTERM, then SIGKILL after `deadlineMs` or on `hurry`. Resolves when it is gone. */
  async stop(deadlineMs: number, hurry: AbortSignal): Promise<void> {
    this.#stopping.abort()
    await this.#child?.stop(deadlineMs, hurry)
    await this.#ended
  }

  snapshot(): ServiceState {
    return {
      name: this.spec.name,
      admin: this.spec.adminPort,
      process: this.#child?.identity ?? null,
      state: this.#state,
      restarts: this.#restarts,
      lastDeath: this.#lastExit === undefined ? '' : describeExit(this.#lastExit),
    }
  }

  async #keepRunning(): Promise<void> {
    let deaths = 0
    while (!this.#stopping.signal.aborted) {
      const startedAt = performance.now()
      this.#child = startChild(this.spec, this.#logPath, (line) => this.#watcher.line(this.spec.name, line))
      this.#become('running')
      const exit = await this.#child.exited
      this.#child = undefined
      if (this.#stopping.signal.aborted) break
      deaths = performance.now() - startedAt >= this.#policy.forgottenAfterMs ? 1 : deaths + 1
      this.#lastExit = exit
      const delayMs = restartDelayMs(this.#policy, deaths, exit)
      this.#become('restarting')
      this.#watcher.died(this, exit, delayMs)
      await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
      if (!this.#stopping.signal.aborted) this.#restarts += 1
    }
    this.#become('stopped')
  }

  #become(state: ServiceState['state']): void {
    this.#state = state
    this.#watcher.changed()
  }
}
