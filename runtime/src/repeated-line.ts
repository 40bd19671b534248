// A log line that would be written again and again: written at once, then once in a while, with how often it would have been.

/** More causes at once are not told apart: the oldest is forgotten, and written at once when it comes again. */
const CAUSES_MAX = 100

export class RepeatedLine {
  readonly #everyMs: number
  readonly #nowMs: () => number
  readonly #causes = new Map<string, { saidMs: number; count: number }>()

  constructor(everyMs: number, nowMs: () => number = () => performance.now()) {
    this.#everyMs = everyMs
    this.#nowMs = nowMs
  }

  /** Returns how many lines of this cause the line stands for when it is to be written now; undefined when it is not. */
  due(cause: string): number | undefined {
    const nowMs = this.#nowMs()
    const known = this.#causes.get(cause)
    if (known === undefined) {
      const [oldest] = this.#causes.keys()
      if (this.#causes.size >= CAUSES_MAX && oldest !== undefined) this.#causes.delete(oldest)
      this.#causes.set(cause, { saidMs: nowMs, count: 0 })
      return 1
    }
    known.count += 1
    if (nowMs - known.saidMs < this.#everyMs) return undefined
    const { count } = known
    known.saidMs = nowMs
    known.count = 0
    return count
  }

  /** It is over: the next line of any cause is written at once. */
  reset(): void {
    this.#causes.clear()
  }
}
