// How long to wait: before the next attempt (exponential, capped, with jitter, interruptible), and before something counts as late.

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

/** A timer that fires this much too late did so because the process stood still: suspended, or busy for that long. */
const STOOD_STILL_MS = 100

/**
 * Calls `late` after `ms` milliseconds, unless the returned function is called before. What has already arrived is read
 * first, and a time in which the whole process stood still is given back once: it says nothing about the peer.
 */
export function whenLate(ms: number, late: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined
  const judge = () => {
    // Node runs immediates after it has read the sockets.
    immediate = setImmediate(late)
  }
  const due = performance.now() + ms
  let timer = setTimeout(() => {
    const stoodStillMs = performance.now() - due
    if (stoodStillMs < STOOD_STILL_MS) judge()
    else timer = setTimeout(judge, Math.min(stoodStillMs, ms))
  }, ms)
  return () => {
    clearTimeout(timer)
    if (immediate) clearImmediate(immediate)
  }
}

/** The same from the moment on at which `signal` aborts. */
export function whenLateFrom(signal: AbortSignal, ms: number, late: () => void): () => void {
  let clear = () => signal.removeEventListener('abort', begin)
  const begin = () => {
    clear = whenLate(ms, late)
  }
  if (signal.aborted) begin()
  else signal.addEventListener('abort', begin, { once: true })
  return () => clear()
}
