// A log line with a persistent cause: written at once, then at intervals with the number of lines it stands for.

/** Maximum number of causes at once. Beyond it the oldest is forgotten, and written at once when it occurs again. */
const CAUSES_MAX = 100

export class RepeatedLine {
  readonly #everyMs: number
  readonly #nowMs: () => number
  readonly #causes = new Map<string, { saidMs: number; count: number }>()

  constructor(everyMs: number, nowMs: () => number = () => performance.now()) {
    this.#everyMs = everyMs
    this.#nowMs = nowMs
  }

  /** If the line is to be written now, returns how many lines of this cause it stands for. Otherwise undefined. */
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

  /** The cause has ended, so the next line of any cause is written at once. */
  reset(): void {
    this.#causes.clear()
  }
}
