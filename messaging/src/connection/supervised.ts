// Keeps a resource (a connection or a channel) open: opens it, detects its loss, and reopens it until stopped.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import { asError, Misconfigured } from '../errors.ts'
import { backoffMs, clockOf, OwnScope } from '../scope.ts'
import type { Service } from '../service.ts'

export interface Supervision<T> {
  /** Used in log lines: "connection for publishing", "channel of create_item". */
  readonly name: string
  /**
   * Opens the resource once. Must call `lost` when the resource is lost. If `lost` is called before `open` resolves, the
   * resource is closed as soon as `open` resolves. `signal` aborts when supervision ends.
   */
  open(lost: (reason: Error) => void, signal: AbortSignal): Promise<T>
  /** Closes a resource. Called exactly once for each result of `open`, lost or not. Must not reject. */
  close(resource: T): Promise<void>
  /** Why the resource ended. Undefined while it is open. Checked at each use, because an event may have been missed. */
  ended?(resource: T): Error | undefined
  /** Why the resource that this one depends on is not open. `notReady` reports this first. Undefined while it is open. */
  needs?(): string | undefined
  /** The address of the peer. `notReady` reports it until the first attempt has ended. */
  readonly where?: string
  /** Called each time the resource has been reopened after a loss. */
  reopened?(): void
  readonly service: Pick<Service, 'log' | 'clock'>
  readonly reconnectMaxMs: number
}

/** A resource that was open for less time does not reset the backoff. Otherwise one that closes right after opening would cause a busy loop. */
const STABLE_AFTER_MS = 5_000
/** How often the log repeats why a resource cannot be opened. */
const LOGGED_EVERY_MS = 30_000

export class Supervised<T> {
  readonly #how: Supervision<T>
  readonly #stop: OwnScope
  readonly #waiting = new Set<{ resolve(resource: T): void; reject(reason: Error): void }>()
  readonly #line: RepeatedLine
  readonly #running: Promise<void>
  #open: { readonly resource: T; readonly loss: Loss } | undefined
  #reason: string

  constructor(how: Supervision<T>) {
    this.#how = how
    this.#stop = new OwnScope(clockOf(how.service))
    this.#line = new RepeatedLine(LOGGED_EVERY_MS, () => this.#stop.clock.nowMs())
    this.#reason = `${how.name} is not open yet${how.where === undefined ? '' : `: ${how.where} has not answered`}`
    this.#running = this.#run()
  }

  /** The resource, or undefined while it is not open. */
  get current(): T | undefined {
    return this.#open && !this.#isLost(this.#open) ? this.#open.resource : undefined
  }

  /** Why the resource is not open, in one sentence. Undefined while it is open. */
  notReady(): string | undefined {
    if (this.current !== undefined) return undefined
    const needs = this.#how.needs?.()
    if (needs !== undefined) return needs
    return this.#open === undefined ? this.#reason : this.#sentence(this.#open.loss.reason)
  }

  /**
   * Resolves when the resource is open. Rejects if supervision ends or `signal` aborts, and with Misconfigured if a retry cannot
   * help. Every other failure is retried.
   */
  whenOpen(signal?: AbortSignal): Promise<T> {
    const current = this.current
    if (current !== undefined) return Promise.resolve(current)
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

  /** Ends supervision, and closes the resource if it is open. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { name, service, reconnectMaxMs } = this.#how
    const { clock } = this.#stop
    for (let attempt = 1, opened = 0; !this.#stop.signal.aborted; attempt += 1) {
      const loss = new Loss(this.#stop.signal)
      try {
        const resource = await this.#openUnlessLost(loss)
        const since = clock.nowMs()
        this.#open = { resource, loss }
        for (const waiter of [...this.#waiting]) waiter.resolve(resource)
        if (opened++ > 0) this.#how.reopened?.()
        service.log.info({}, `${name}: open`)
        await loss.happened
        if (clock.nowMs() - since > STABLE_AFTER_MS) {
          attempt = 0
          this.#line.reset()
        }
        this.#open = undefined
        this.#reason = this.#sentence(loss.reason)
        await this.#how.close(resource)
      } catch (error) {
        loss.report(asError(error))
      }
      if (this.#stop.signal.aborted) break
      const delayMs = backoffMs(Math.max(attempt, 1), reconnectMaxMs, clock.random)
      this.#failed(loss.reason, delayMs)
      await this.#stop.pause(delayMs)
    }
    for (const waiter of [...this.#waiting]) waiter.reject(new Error(`${name}: stopped`))
  }

  async #openUnlessLost(loss: Loss): Promise<T> {
    const opening = this.#how.open((reason) => loss.report(reason), this.#stop.signal)
    const first = await Promise.race([opening.then((resource) => ({ resource })), loss.happened])
    if (first !== undefined && !this.#isLost({ ...first, loss })) return first.resource
    // Lost while opening. If it opens later, it is closed.
    opening.then((resource) => this.#how.close(resource)).catch(() => {})
    throw loss.reason
  }

  #isLost({ resource, loss }: { readonly resource: T; readonly loss: Loss }): boolean {
    const end = this.#how.ended?.(resource)
    if (end !== undefined) loss.report(end)
    return loss.reported
  }

  #sentence(reason: Error): string {
    return `${this.#how.name} is not open: ${reason.message}`
  }

  #failed(reason: Error, delayMs: number): void {
    this.#reason = this.#sentence(reason)
    const level = reason instanceof Misconfigured ? 'error' : 'warn'
    const lines = this.#line.due(reason.message)
    if (lines !== undefined)
      this.#how.service.log[level](
        { retryInMs: Math.round(delayMs), lines },
        `${this.#how.name}: ${reason.message}; trying again`,
      )
    if (reason instanceof Misconfigured) for (const waiter of [...this.#waiting]) waiter.reject(reason)
  }
}

/** The first reason of a loss. `happened` resolves when it is reported. */
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
