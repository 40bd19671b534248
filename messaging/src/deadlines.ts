// Many deadlines of the same length that share one timer. A timer for each message would cost more than handling the message.
import { type Clock, whenLate } from './scope.ts'

/** Calls `late` for each key that is still present `ms` milliseconds after it was added, oldest first. See `whenLate`. */
export class Deadlines<Key> {
  readonly #clock: Clock
  readonly #ms: number
  readonly #late: (key: Key) => void
  /** The due time of each key (`Clock.nowMs`). The map is ordered by due time. */
  readonly #dueMs = new Map<Key, number>()
  #clearTimer: (() => void) | undefined

  constructor(clock: Clock, ms: number, late: (key: Key) => void) {
    this.#clock = clock
    this.#ms = ms
    this.#late = late
  }

  /** The key must not be present already. */
  add(key: Key): void {
    this.#dueMs.set(key, this.#clock.nowMs() + this.#ms)
    this.#clearTimer ??= this.#watch(this.#ms)
  }

  delete(key: Key): void {
    if (!this.#dueMs.delete(key) || this.#dueMs.size > 0) return
    this.#clearTimer?.()
    this.#clearTimer = undefined
  }

  #watch(ms: number): () => void {
    return whenLate(this.#clock, ms, () => this.#judge(), this.#ms)
  }

  #judge(): void {
    this.#clearTimer = undefined
    const nowMs = this.#clock.nowMs()
    for (const [key, dueMs] of this.#dueMs) {
      if (dueMs > nowMs) {
        this.#clearTimer = this.#watch(dueMs - nowMs)
        return
      }
      this.#dueMs.delete(key)
      this.#late(key)
    }
  }
}
