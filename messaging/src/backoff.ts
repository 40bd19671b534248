// How long to wait before the next attempt: exponential, capped, with jitter, and interruptible.

/** Milliseconds before attempt number `attempt` (1, 2, …): 100 ms doubled each time up to `mostMs`, of which half is random. */
export function backoffMs(attempt: number, mostMs: number, random: () => number = Math.random): number {
  const ceiling = Math.min(mostMs, 100 * 2 ** Math.min(attempt - 1, 30))
  return ceiling / 2 + random() * (ceiling / 2)
}

/** Resolves after `ms` milliseconds, or at once when `signal` aborts. Never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

/** Settles as `promise` does, or rejects with the sentence `what` after `ms` milliseconds. */
export function withDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
