// Decides when to retry and when to give up, by `Retry-After`, a growing pause, and a limit on the time without progress.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './api-client.ts'

const PAUSE_MIN_MS = 100
const PAUSE_MAX_MS = 5_000
/** Enough for a rate limit that is renewed every minute. */
const RETRY_AFTER_MAX_S = 120
/** Maximum number of failed attempts of one request, if other requests succeed. */
const ATTEMPTS_MAX = 20

export class Patience {
  readonly #giveUpAfterMs: number
  #progressAt = performance.now()
  #inFlight = 0
  /** Why the last attempt failed. */
  lastTrouble = 'the API does not respond'

  constructor(giveUpAfterMs: number) {
    this.#giveUpAfterMs = giveUpAfterMs
  }

  /** Runs a request with its retries. Only time with a request in flight counts as time without progress. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inFlight === 0) this.progressed()
    this.#inFlight += 1
    try {
      return await work()
    } finally {
      this.#inFlight -= 1
    }
  }

  /** Call this after each final response. */
  progressed(): void {
    this.#progressAt = performance.now()
  }

  /** Whether the time without progress exceeds the limit. */
  get isOver(): boolean {
    return performance.now() - this.#progressAt > this.#giveUpAfterMs
  }

  /**
   * Waits before the next attempt. Returns false to give up.
   * @param attempts number of failed attempts, without those that a rate limit rejected
   */
  async pause(attempts: number, trouble: string, answer: Answer | undefined, stop: AbortSignal): Promise<boolean> {
    this.lastTrouble = trouble
    if (attempts >= ATTEMPTS_MAX || this.isOver) return false
    const grown = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** attempts)
    const pauseMs = Math.max(retryAfterMs(answer), grown * (0.5 + Math.random() / 2))
    try {
      await sleep(pauseMs, undefined, { signal: stop })
      return !this.isOver
    } catch {
      return false
    }
  }
}

/** The API sends `Retry-After` in seconds. */
function retryAfterMs(answer: Answer | undefined): number {
  const text = answer?.headers['retry-after'] ?? ''
  return /^\d{1,6}$/.test(text) ? Math.min(Number(text), RETRY_AFTER_MAX_S) * 1_000 : 0
}

/** Whether a response is not final. */
export const isTransient = ({ status, headers }: Answer): boolean =>
  status === 202 || status === 408 || status === 429 || status >= 500 || headers['retry-after'] !== undefined
