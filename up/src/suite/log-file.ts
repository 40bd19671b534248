// The log file of one service. Its size is limited. Write errors, such as a full disk, do not affect the supervisor.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { LogSink } from '@ims/runtime'

const MAX_BYTES = 20_000_000
const LINE_FEED = 0x0a

/** When the file exceeds `maxBytes`, it is renamed to `<path>.1`, replacing the previous one, and a new file is started. Never throws. */
export class LogFile {
  readonly #path: string
  readonly #maxBytes: number
  readonly #sink: LogSink
  #descriptor: number | undefined
  #bytes = 0

  constructor(path: string, maxBytes = MAX_BYTES) {
    this.#path = path
    this.#maxBytes = maxBytes
    this.#sink = new LogSink((bytes) => this.#take(bytes), {
      lost: () => {},
      resumed: (lines, error) => this.#sink.push(lossRecord(lines, error), 1),
    })
  }

  /** Writes synchronously if the disk accepts the chunk, so that a crash of the supervisor does not lose the last lines. */
  append(chunk: Buffer): void {
    this.#sink.push(chunk, chunk.filter((byte) => byte === LINE_FEED).length)
  }

  close(): void {
    this.#sink.drain()
    this.#closeFile()
  }

  #take(bytes: Buffer): number {
    if (this.#bytes > this.#maxBytes) {
      this.#closeFile()
      renameSync(this.#path, `${this.#path}.1`)
    }
    if (this.#descriptor === undefined) {
      this.#descriptor = openSync(this.#path, 'a', 0o600)
      this.#bytes = fstatSync(this.#descriptor).size
    }
    const taken = writeSync(this.#descriptor, bytes)
    this.#bytes += taken
    return taken
  }

  #closeFile(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
    this.#bytes = 0
  }
}

/** A log line about lost lines. It begins with a line feed, because the last write may have ended in the middle of a line. */
function lossRecord(lines: number, error: string): Buffer {
  const message = `${lines} log lines were lost: the log file could not be written`
  return Buffer.from(`\n${JSON.stringify({ level: 'warn', time: new Date().toISOString(), lines, error, message })}\n`)
}
