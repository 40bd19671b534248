// Stop signals such as Ctrl-C. The first stops the suite in order, the second kills the services, the third exits at once.

export interface StopRequest {
  /** Aborts at the first signal: stop in order. */
  readonly stop: AbortSignal
  /** Aborts at the second signal: do not wait for the services. */
  readonly hurry: AbortSignal
}

/** The terminal sends a signal to all processes, and npm forwards it. Signals within this time count as one. */
export const SAME_SIGNAL_MS = 500

const EXIT_INTERRUPTED = 130

/** Listens for SIGINT, SIGTERM and SIGHUP until the process exits. Calls `leave` at the third signal. */
export function listenForSignals(leave: () => void = () => process.exit(EXIT_INTERRUPTED)): StopRequest {
  const stop = new AbortController()
  const hurry = new AbortController()
  let lastAt = Number.NEGATIVE_INFINITY
  const onSignal = () => {
    const now = performance.now()
    if (now - lastAt < SAME_SIGNAL_MS) return
    lastAt = now
    if (hurry.signal.aborted) leave()
    else if (stop.signal.aborted) hurry.abort()
    else stop.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  return { stop: stop.signal, hurry: hurry.signal }
}
