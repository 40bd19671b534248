// Limits a repeated log line. The first line of a cause is written at once. Later lines are written at intervals, each
// with the number of lines that it represents.

/** The number of causes that are remembered. If there are more, the oldest is forgotten, and its next line is written at once. */
const CAUSES_MAX = 100

export class RepeatedLine {
  readonly #everyMs: number
  readonly #nowMs: () => number
  readonly #causes = new Map<string, { writtenMs: number; count: number }>()

  constructor(everyMs: number, nowMs: () => number = () => performance.now()) {
    this.#everyMs = everyMs
    this.#nowMs = nowMs
  }

  /** Counts a line of this cause. If it must be written now, returns how many lines it represents. Otherwise returns undefined. */
  due(cause: string): number | undefined {
    const nowMs = this.#nowMs()
    const known = this.#causes.get(cause)
    if (known === undefined) {
      const [oldest] = this.#causes.keys()
      if (this.#causes.size >= CAUSES_MAX && oldest !== undefined) this.#causes.delete(oldest)
      this.#causes.set(cause, { writtenMs: nowMs, count: 0 })
      return 1
    }
    known.count += 1
    if (nowMs - known.writtenMs < this.#everyMs) return undefined
    const { count } = known
    known.writtenMs = nowMs
    known.count = 0
    return count
  }

  /** Forgets all causes. The next line of any cause is written at once. */
  reset(): void {
    this.#causes.clear()
  }
}
