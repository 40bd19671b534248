// Limits the requests per minute of each client, counted by API key or else by address.
import type { RequestHandler } from 'express'
import { type IncrementResponse, ipKeyGenerator, rateLimit, type Store } from 'express-rate-limit'
import { clientOf } from './authorisation.ts'
import { clientAddress } from './client-address.ts'
import { Problem, sendProblem } from './problem.ts'

const MINUTE_MS = 60_000

/** Maximum number of clients that are counted at the same time. Beyond it, the oldest count is dropped. */
const CLIENTS_MAX = 50_000

/** Counts with a monotonic clock. With the library's own store, a clock that is set back would block clients until it has caught up. */
export class MonotonicStore implements Store {
  readonly localKeys = true
  readonly #windows = new Map<string, { hits: number; readonly endsAtMs: number }>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  increment(key: string): IncrementResponse {
    const now = this.#nowMs()
    const running = this.#windows.get(key)
    const window = running !== undefined && now < running.endsAtMs ? running : this.#begin(key, now)
    window.hits += 1
    return { totalHits: window.hits, resetTime: new Date(Date.now() + window.endsAtMs - now) }
  }

  decrement(key: string): void {
    const window = this.#windows.get(key)
    if (window) window.hits -= 1
  }

  resetKey(key: string): void {
    this.#windows.delete(key)
  }

  /**
   * Starts a window for a client. Drops windows that have ended, and the oldest one if there are too many. The oldest windows
   * end first, because all have the same length.
   */
  #begin(key: string, now: number): { hits: number; readonly endsAtMs: number } {
    this.#windows.delete(key)
    for (const [oldest, { endsAtMs }] of this.#windows) {
      if (now < endsAtMs && this.#windows.size < CLIENTS_MAX) break
      this.#windows.delete(oldest)
    }
    const window = { hits: 0, endsAtMs: now + MINUTE_MS }
    this.#windows.set(key, window)
    return window
  }
}

/**
 * Counts each request and reports how many are left (`RateLimit`, `RateLimit-Policy`,
 * draft-ietf-httpapi-ratelimit-headers-08). Requests beyond `perMinute` get 429. Each process counts separately.
 */
export function limitRate(perMinute: number): RequestHandler {
  return rateLimit({
    windowMs: MINUTE_MS,
    limit: perMinute,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    identifier: 'per-client',
    store: new MonotonicStore(),
    // A request without a valid key counts for its address. A /56 IPv6 network counts as one address, because it usually belongs to one customer.
    keyGenerator: (request, response) => {
      const client = clientOf(response)
      return client === undefined ? `address ${ipKeyGenerator(clientAddress(request) ?? '')}` : `key ${client.name}`
    },
    handler: (_, response) => {
      const detail = `More than ${perMinute} requests in a minute: the header Retry-After says when to retry.`
      sendProblem(response, new Problem(429, 'too-many-requests', detail))
    },
    // These checks would find mistakes that the schema of TRUST_PROXY already excludes, and print them to the standard error.
    validate: false,
  })
}
