// Shares one result between all callers within a period.

/** Wraps `compute` so that it runs at most once in `ms` milliseconds, and never twice at a time. A failure is not shared with later calls. */
export function sharedForAWhile<T>(compute: () => Promise<T>, ms: number): () => Promise<T> {
  let shared: Promise<T> | undefined
  return () => {
    if (shared !== undefined) return shared
    const result = compute()
    const forget = () => {
      if (shared === result) shared = undefined
    }
    shared = result
    result.then(() => setTimeout(forget, ms).unref(), forget)
    return result
  }
}
