// Supervises one process, a service or a server. Reports each exit, and restarts the process after a pause that grows with each restart.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Child, Exit } from './child.ts'
import type { ProcessState } from './state.ts'

/** The exit code of a service with a wrong configuration (EX_CONFIG of sysexits.h). A quick restart would not help. */
export const EXIT_CONFIG = 78

/**
 * The pause before a restart starts at `firstMs` and doubles with each restart, up to `longestMs`. It starts at `firstMs`
 * again when a process has run for `forgottenAfterMs`.
 */
export interface RestartPolicy {
  readonly firstMs: number
  readonly longestMs: number
  readonly forgottenAfterMs: number
}

export interface Watcher {
  changed(): void
  ended(name: string, exit: Exit, restartInMs: number): void
}

/** The process to supervise. `launch` starts it, or attaches to it if it already runs. A failed start counts as an exit. */
export interface Supervisable {
  readonly name: string
  launch(changed: () => void): Child
}

/** The pause before a restart. `deaths` is the number of exits in a row (1, 2, …). */
export function restartDelayMs(policy: RestartPolicy, deaths: number, exit: Pick<Exit, 'code'>): number {
  if (exit.code === EXIT_CONFIG) return policy.longestMs
  return Math.min(policy.longestMs, policy.firstMs * 2 ** Math.min(deaths - 1, 30))
}

/** Describes an exit to the user: `exit code 1` or `killed by SIGKILL`. */
export function describeExit({ code, signal, how }: Pick<Exit, 'code' | 'signal' | 'how'>): string {
  if (how !== undefined) return how
  if (signal !== null) return `killed by ${signal}`
  if (code === null) return 'could not be started'
  return code === EXIT_CONFIG ? `exit code ${code}: its configuration is wrong` : `exit code ${code}`
}

/** Returns `died (killed by SIGKILL)`, or `ended (exit code 0)` for a process that shut down cleanly. */
export function describeEnd(exit: Pick<Exit, 'code' | 'signal' | 'how'>): string {
  const isGraceful = exit.code === 0 && exit.how === undefined
  return `${isGraceful ? 'ended' : 'died'} (${describeExit(exit)})`
}

export class SupervisedProcess<What extends Supervisable = Supervisable> {
  readonly what: What
  readonly #policy: RestartPolicy
  readonly #watcher: Watcher
  readonly #stopping = new AbortController()
  #child: Child | undefined
  #state: ProcessState['state'] = 'stopped'
  #restarts = 0
  #lastExit: Exit | undefined
  #ended: Promise<void> | undefined

  constructor(what: What, policy: RestartPolicy, watcher: Watcher) {
    this.what = what
    this.#policy = policy
    this.#watcher = watcher
  }

  get lastExit(): Exit | undefined {
    return this.#lastExit
  }

  start(): void {
    this.#ended = this.#keepRunning()
  }

  /** Ends the supervision and stops the process: SIGTERM, then SIGKILL after `deadlineMs` or on `hurry`. Resolves when it has exited. */
  async stop(deadlineMs: number, hurry: AbortSignal): Promise<void> {
    this.#stopping.abort()
    await this.#child?.stop(deadlineMs, hurry)
    await this.#ended
  }

  snapshot(): ProcessState {
    return {
      name: this.what.name,
      process: this.#child?.identity ?? null,
      state: this.#state,
      restarts: this.#restarts,
      lastEnd: this.#lastExit === undefined ? '' : describeEnd(this.#lastExit),
    }
  }

  async #keepRunning(): Promise<void> {
    let deaths = 0
    while (!this.#stopping.signal.aborted) {
      const startedAt = performance.now()
      this.#child = this.what.launch(() => this.#watcher.changed())
      this.#become('running')
      const exit = await this.#child.exited
      this.#child = undefined
      if (this.#stopping.signal.aborted) break
      deaths = performance.now() - startedAt >= this.#policy.forgottenAfterMs ? 1 : deaths + 1
      this.#lastExit = exit
      const delayMs = restartDelayMs(this.#policy, deaths, exit)
      this.#become('restarting')
      this.#watcher.ended(this.what.name, exit, delayMs)
      await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
      if (!this.#stopping.signal.aborted) this.#restarts += 1
    }
    this.#become('stopped')
  }

  #become(state: ProcessState['state']): void {
    this.#state = state
    this.#watcher.changed()
  }
}
