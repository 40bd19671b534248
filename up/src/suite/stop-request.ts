// Stop signals such as Ctrl-C: the first asks to stop in order, the second to hurry, the third leaves everything as it is.

export interface StopRequest {
  /** Aborts when the suite is to stop in order. */
  readonly stop: AbortSignal
  /** Aborts when the user does not want to wait any longer. */
  readonly hurry: AbortSignal
}

/** npm forwards the signal that the terminal already sent to all of us. Signals within this time count as one. */
export const SAME_WISH_MS = 500

const EXIT_INTERRUPTED = 130

/** Listens to SIGINT, SIGTERM and SIGHUP until the process ends. Calls `leave` at the third signal. */
export function listenForSignals(leave: () => void = () => process.exit(EXIT_INTERRUPTED)): StopRequest {
  const stop = new AbortController()
  const hurry = new AbortController()
  let lastAt = Number.NEGATIVE_INFINITY
  const onSignal = () => {
    const now = performance.now()
    if (now - lastAt < SAME_WISH_MS) return
    lastAt = now
    if (hurry.signal.aborted) leave()
    else if (stop.signal.aborted) hurry.abort()
    else stop.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  return { stop: stop.signal, hurry: hurry.signal }
}
