// Answers a question for everybody who asks within a while: it is worked out once at a time, and not again before the while is over.

/** Makes of `ask` a function that asks at most once in `ms` milliseconds, and never twice at a time. A failure is not kept. */
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
