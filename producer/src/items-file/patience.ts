// When to try again and when to give up: the answer's `Retry-After`, a pause that grows, and a limit without any progress.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './api-client.ts'

const PAUSE_MIN_MS = 100
const PAUSE_MAX_MS = 5_000
/** A rate limit that is renewed every minute. */
const RETRY_AFTER_MAX_S = 120
/** Attempts at one request whose answers say that it failed, while others succeed. */
const ATTEMPTS_MAX = 20

export class Patience {
  readonly #giveUpAfterMs: number
  #progressAt = performance.now()
  #inFlight = 0
  /** Why the last attempt failed. */
  lastTrouble = 'it does not answer'

  constructor(giveUpAfterMs: number) {
    this.#giveUpAfterMs = giveUpAfterMs
  }

  /** Runs a request with its retries. Time in which there was nothing to do does not count. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inFlight === 0) this.progressed()
    this.#inFlight += 1
    try {
      return await work()
    } finally {
      this.#inFlight -= 1
    }
  }

  /** Something was answered as it should be. */
  progressed(): void {
    this.#progressAt = performance.now()
  }

  /** Nothing has succeeded for too long. */
  get isOver(): boolean {
    return performance.now() - this.#progressAt > this.#giveUpAfterMs
  }

  /**
   * Waits before the next attempt. False: give up.
   * @param attempts how many failed so far; those that a rate limit refused do not count
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

/** Our API sends seconds. */
function retryAfterMs(answer: Answer | undefined): number {
  const text = answer?.headers['retry-after'] ?? ''
  return /^\d{1,6}$/.test(text) ? Math.min(Number(text), RETRY_AFTER_MAX_S) * 1_000 : 0
}

/** Answers that say nothing final about the request. */
export const isTransient = ({ status, headers }: Answer): boolean =>
  status === 202 || status === 408 || status === 429 || status >= 500 || headers['retry-after'] !== undefined
