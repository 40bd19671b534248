// A scope limits waits by a signal and a deadline. It also has the clock, because a simulation supplies its own.
import { newMessageId } from './message-id.ts'
import type { Service } from './service.ts'

/** Time and random numbers, as one process sees them. */
export interface Clock {
  /** Milliseconds since an arbitrary moment. Never decreases. */
  nowMs(): number
  /** The wall-clock time, which may jump. */
  date(): Date
  /** Calls `due` after `ms` milliseconds, unless the returned function is called first. */
  after(ms: number, due: () => void): () => void
  /** Calls `turned` after the event loop has read the sockets, unless the returned function is called first. */
  afterRead(turned: () => void): () => void
  /** A random number of at least 0 and less than 1. */
  random(): number
  /** A new UUIDv7 (RFC 9562). */
  uuid(): string
}

/** Node fires a timer with a longer delay at once. */
const TIMER_MAX_MS = 2_147_483_647

const systemClock: Clock = {
  nowMs: () => performance.now(),
  date: () => new Date(),
  after: (ms, due) => {
    // Rounded up, because Node truncates fractions and counts from the start of the current loop iteration, so a timer could fire early.
    const timer = setTimeout(due, Math.min(Math.ceil(ms) + 1, TIMER_MAX_MS))
    return () => clearTimeout(timer)
  },
  afterRead: (turned) => {
    // Node runs immediates after it has read the sockets.
    const immediate = setImmediate(turned)
    return () => clearImmediate(immediate)
  },
  random: Math.random,
  uuid: newMessageId,
}

export const clockOf = ({ clock = systemClock }: Pick<Service, 'clock'>): Clock => clock

/** If a timer fires this late, the process was suspended or busy. */
const SUSPENDED_MIN_MS = 100

/** Milliseconds to pause after attempt number `attempt` (1, 2, …) failed: 100 ms, doubled each time up to `maxMs`. Half of the pause is random. */
export function backoffMs(attempt: number, maxMs: number, random: () => number): number {
  const ceiling = Math.min(maxMs, 100 * 2 ** Math.min(attempt - 1, 30))
  return ceiling / 2 + random() * (ceiling / 2)
}

export class Scope {
  readonly clock: Clock
  /** Aborts when the owner is done. */
  readonly signal: AbortSignal
  readonly #endsAtMs: number

  constructor(clock: Clock, signal: AbortSignal, endsAtMs = Number.POSITIVE_INFINITY) {
    this.clock = clock
    this.signal = signal
    this.#endsAtMs = endsAtMs
  }

  get isOver(): boolean {
    return this.signal.aborted || this.clock.nowMs() >= this.#endsAtMs
  }

  /** A scope that ends with this one, when any of `signals` aborts, or after `ms` milliseconds. */
  part(signals: readonly AbortSignal[], ms = Number.POSITIVE_INFINITY): Scope {
    const endsAtMs = Math.min(this.#endsAtMs, this.clock.nowMs() + ms)
    return new Scope(this.clock, AbortSignal.any([this.signal, ...signals]), endsAtMs)
  }

  /** Resolves after `ms` milliseconds, or when the scope ends. Never rejects. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.isOver) return resolve()
      const done = () => {
        clear()
        this.signal.removeEventListener('abort', done)
        resolve()
      }
      const clear = this.clock.after(Math.min(ms, this.#endsAtMs - this.clock.nowMs()), done)
      this.signal.addEventListener('abort', done)
    })
  }

  /** Settles like `promise`, or resolves with `otherwise` if the scope ends first. */
  untilOver<T>(promise: Promise<T>, otherwise: T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.isOver) return resolve(otherwise)
      const over = () => {
        leave()
        resolve(otherwise)
      }
      const leave = () => {
        clear()
        this.signal.removeEventListener('abort', over)
      }
      const clear = Number.isFinite(this.#endsAtMs)
        ? this.clock.after(this.#endsAtMs - this.clock.nowMs(), over)
        : () => {}
      this.signal.addEventListener('abort', over)
      promise.then(resolve, reject).finally(leave)
    })
  }

  /** Pauses before attempt number `attempt` + 1. The pause grows up to `maxMs`. */
  backOff(attempt: number, maxMs: number): Promise<void> {
    return this.pause(backoffMs(attempt, maxMs, this.clock.random))
  }
}

/** A scope that its owner can end. */
export class OwnScope extends Scope {
  readonly #controller: AbortController

  constructor(clock: Clock) {
    const controller = new AbortController()
    super(clock, controller.signal)
    this.#controller = controller
  }

  abort(): void {
    this.#controller.abort()
  }
}

/** Settles like `promise`, or rejects after `ms` milliseconds. `what` is the subject of the error message. */
export function withDeadline<T>(clock: Clock, promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const clear = clock.after(ms, () => reject(new Error(`${what} took longer than ${ms} ms`)))
    promise.then(resolve, reject).finally(clear)
  })
}

/**
 * Calls `late` after `ms` milliseconds, unless the returned function is called first. Before that, the event loop reads the
 * sockets once more, because the awaited data may have arrived already. If the process was suspended, the deadline is
 * extended once by the length of the suspension, up to `givenBackMaxMs`, because the peer did not cause that delay.
 */
export function whenLate(clock: Clock, ms: number, late: () => void, givenBackMaxMs = ms): () => void {
  const due = clock.nowMs() + ms
  const judge = () => {
    clear = clock.afterRead(late)
  }
  let clear = clock.after(ms, () => {
    const suspendedMs = clock.nowMs() - due
    if (suspendedMs < SUSPENDED_MIN_MS) judge()
    else clear = clock.after(Math.min(suspendedMs, givenBackMaxMs), judge)
  })
  return () => clear()
}
