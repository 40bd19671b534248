// Keeps one thing open: opens it, notices its loss, opens it again, for ever, until told to stop.
import { backoffMs, pause } from './backoff.ts'
import { Misconfigured } from './errors.ts'
import type { Log } from './service.ts'

export interface Supervision<T> {
  /** Said in log lines: "connection for publishing", "channel of create_item". */
  readonly name: string
  /**
   * Opens it once. Calls `lost` as soon as it is lost, also while still opening: then whatever `open` resolves to later
   * is closed and forgotten. `signal` aborts when supervision ends.
   */
  open(lost: (reason: Error) => void, signal: AbortSignal): Promise<T>
  /** Closes what `open` made; called exactly once for each, lost or not. Must not reject. */
  close(resource: T): Promise<void>
  /** Called each time it is open again after a loss. */
  reopened?(): void
  readonly log: Log
  readonly reconnectMostMs: number
}

/** Shorter lives than this do not reset the backoff, so that "opens, then dies at once" does not become a hot loop. */
const STABLE_AFTER_MS = 5_000

export class Supervised<T> {
  readonly #how: Supervision<T>
  readonly #stop = new AbortController()
  readonly #waiting = new Set<{ resolve(resource: T): void; reject(reason: Error): void }>()
  readonly #running: Promise<void>
  #current: T | undefined
  #reason: string

  constructor(how: Supervision<T>) {
    this.#how = how
    this.#reason = `${how.name} is not open yet`
    this.#running = this.#run()
  }

  /** The open thing, or undefined while there is none. */
  get current(): T | undefined {
    return this.#current
  }

  /** Why it is not open, in one sentence; undefined while it is. */
  notReady(): string | undefined {
    return this.#current === undefined ? this.#reason : undefined
  }

  /**
   * Resolves when it is open. Rejects when supervision ends or `signal` aborts, and with Misconfigured when an attempt
   * says that no retry can help; every other failure is waited out.
   */
  whenOpen(signal?: AbortSignal): Promise<T> {
    if (this.#current !== undefined) return Promise.resolve(this.#current)
    if (this.#stop.signal.aborted || signal?.aborted) return Promise.reject(new Error(`${this.#how.name}: stopped`))
    return new Promise((resolve, reject) => {
      const aborted = () => waiter.reject(new Error(`${this.#how.name}: stopped waiting`))
      const leave = () => {
        this.#waiting.delete(waiter)
        signal?.removeEventListener('abort', aborted)
      }
      const waiter = {
        resolve: (resource: T) => {
          leave()
          resolve(resource)
        },
        reject: (reason: Error) => {
          leave()
          reject(reason)
        },
      }
      this.#waiting.add(waiter)
      signal?.addEventListener('abort', aborted)
    })
  }

  /** Ends supervision and closes what is open. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { name, log, reconnectMostMs } = this.#how
    for (let attempt = 1, opened = 0; !this.#stop.signal.aborted; attempt += 1) {
      const loss = new Loss(this.#stop.signal)
      try {
        const resource = await this.#openUnlessLost(loss)
        const since = performance.now()
        this.#opened(resource)
        if (opened++ > 0) this.#how.reopened?.()
        log.info({}, `${name}: open`)
        await loss.happened
        if (performance.now() - since > STABLE_AFTER_MS) attempt = 0
        this.#current = undefined
        await this.#how.close(resource)
      } catch (error) {
        loss.report(error instanceof Error ? error : new Error(String(error)))
      }
      if (this.#stop.signal.aborted) break
      const delayMs = backoffMs(Math.max(attempt, 1), reconnectMostMs)
      this.#failed(loss.reason, delayMs)
      await pause(delayMs, this.#stop.signal)
    }
    for (const waiter of [...this.#waiting]) waiter.reject(new Error(`${name}: stopped`))
  }

  async #openUnlessLost(loss: Loss): Promise<T> {
    const opening = this.#how.open((reason) => loss.report(reason), this.#stop.signal)
    const first = await Promise.race([opening.then((resource) => ({ resource })), loss.happened])
    if (first !== undefined && !loss.reported) return first.resource
    // Lost while it was being opened. Should it open after all, nobody wants it any more.
    opening.then((resource) => this.#how.close(resource)).catch(() => {})
    throw loss.reason
  }

  #opened(resource: T): void {
    this.#current = resource
    for (const waiter of [...this.#waiting]) waiter.resolve(resource)
  }

  #failed(reason: Error, delayMs: number): void {
    this.#reason = `${this.#how.name} is not open: ${reason.message}`
    const level = reason instanceof Misconfigured ? 'error' : 'warn'
    this.#how.log[level]({ retryInMs: Math.round(delayMs) }, `${this.#how.name}: ${reason.message}; trying again`)
    if (reason instanceof Misconfigured) for (const waiter of [...this.#waiting]) waiter.reject(reason)
  }
}

/** The first reason for which a thing was lost, and the moment of it. */
class Loss {
  readonly happened: Promise<undefined>
  reported = false
  reason = new Error('lost')
  readonly #stop: AbortSignal
  readonly #stopped = () => this.report(new Error('stopped'))
  #happen: (value: undefined) => void = () => {}

  constructor(stop: AbortSignal) {
    this.happened = new Promise((resolve) => {
      this.#happen = resolve
    })
    this.#stop = stop
    if (stop.aborted) this.#stopped()
    else stop.addEventListener('abort', this.#stopped)
  }

  report(reason: Error): void {
    if (this.reported) return
    this.reported = true
    this.reason = reason
    this.#stop.removeEventListener('abort', this.#stopped)
    this.#happen(undefined)
  }
}
