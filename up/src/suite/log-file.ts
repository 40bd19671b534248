// The log file of one service: appended to, kept from filling the disk, and no danger to the supervisor when the disk is full.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { LogSink } from '@ims/runtime'

const MAX_BYTES = 20_000_000
const LINE_FEED = 0x0a

/** Beyond `maxBytes` the file becomes `<path>.1`, replacing the one before, and a new one begins. Never throws. */
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

  /** Written when it returns, if the disk takes it: the last words of a service are there even if we die next. */
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

/** Begins a line of its own: what was written last may be the first half of a line. */
function lossRecord(lines: number, error: string): Buffer {
  const message = `${lines} log lines were lost: the log file could not be written`
  return Buffer.from(`\n${JSON.stringify({ level: 'warn', time: new Date().toISOString(), lines, error, message })}\n`)
}
