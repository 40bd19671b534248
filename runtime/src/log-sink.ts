// Writes log lines to an output that may reject them. Rejected lines are buffered up to a limit. Further lines are
// dropped and counted. The sink never blocks or throws.

/** The size of the buffer for lines that the output has not accepted yet. */
const WAITING_MAX_BYTES = 1_048_576
/** While lines are buffered, the sink retries at this interval and with each new line. */
const RETRY_EVERY_MS = 50

/** Writes bytes to the output. Returns how many it accepted, and throws when it accepts none. */
export type Take = (bytes: Buffer) => number

export interface Loss {
  /** Called when lines are dropped. */
  lost(lines: number): void
  /** Called once when lines are accepted again, with the number of lines lost since the last call and the error code of the output. */
  resumed(lines: number, code: string): void
}

export class LogSink {
  readonly #take: Take
  readonly #loss: Loss
  readonly #maxBytes: number
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #lost = 0
  #code = ''
  #retry: NodeJS.Timeout | undefined

  constructor(take: Take, loss: Loss, maxBytes: number = WAITING_MAX_BYTES) {
    this.#take = take
    this.#loss = loss
    this.#maxBytes = maxBytes
  }

  /**
   * Writes `bytes` after all buffered lines, or buffers them, or drops them if the buffer is full. `lines` is the number of
   * lines in `bytes`.
   */
  push(bytes: Buffer, lines: number): void {
    if (this.#waiting.length > 0) this.drain()
    if (!this.#hasRoomFor(bytes)) {
      this.#lost += lines
      this.#loss.lost(lines)
      return
    }
    this.#resume()
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.drain()
  }

  /** Writes as many buffered lines as the output accepts. Returns false when some are left. */
  drain(): boolean {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      let taken: number
      try {
        taken = this.#take(next)
      } catch (error) {
        this.#code = codeOf(error)
        this.#tryAgainSoon()
        return false
      }
      this.#waitingBytes -= taken
      if (taken === next.length) this.#waiting.shift()
      // The write was partial. The next write throws an error that says why.
      else this.#waiting[0] = next.subarray(taken)
    }
    this.#resume()
    return true
  }

  /** Writes the buffered lines. Waits for a slow output, but at most this long. It blocks the event loop, so call it only at exit. */
  drainWithin(ms: number): void {
    const endsAt = performance.now() + ms
    while (!this.drain() && this.#code === 'EAGAIN' && performance.now() < endsAt) pauseThread(5)
  }

  /** After a loss, half of the buffer must be free. Otherwise lost and accepted lines would alternate. */
  #hasRoomFor({ length }: Buffer): boolean {
    if (this.#waitingBytes === 0) return true
    return this.#waitingBytes + length <= (this.#lost > 0 ? this.#maxBytes / 2 : this.#maxBytes)
  }

  #resume(): void {
    if (this.#lost === 0) return
    const lines = this.#lost
    this.#lost = 0
    this.#loss.resumed(lines, this.#code)
  }

  #tryAgainSoon(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.drain()
    }, RETRY_EVERY_MS).unref()
  }
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error)
}

function pauseThread(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
