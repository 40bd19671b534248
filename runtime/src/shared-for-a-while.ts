// Shares one result among all callers within a period. It is computed once at a time, and at most once per period.

/** Wraps `ask` so that it runs at most once in `ms` milliseconds, and never twice at a time. A failure is not kept. */
export function sharedForAWhile<T>(ask: () => Promise<T>, ms: number): () => Promise<T> {
  let answer: Promise<T> | undefined
  return () => {
    if (answer !== undefined) return answer
    const asked = ask()
    const forget = () => {
      if (answer === asked) answer = undefined
    }
    answer = asked
    asked.then(() => setTimeout(forget, ms).unref(), forget)
    return asked
  }
}
