// The log file of one service: appended to, and kept from filling the disk.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'

const MOST_BYTES = 20_000_000

/** Beyond `mostBytes` the file becomes `<path>.1`, replacing the one before, and a new one begins. */
export class LogFile {
  readonly #path: string
  readonly #mostBytes: number
  #descriptor: number | undefined
  #bytes: number

  constructor(path: string, mostBytes = MOST_BYTES) {
    this.#path = path
    this.#mostBytes = mostBytes
    this.#descriptor = openSync(path, 'a', 0o600)
    this.#bytes = fstatSync(this.#descriptor).size
  }

  /** Written when it returns: the last words of a service are there even if we die next. */
  append(chunk: Buffer): void {
    if (this.#descriptor === undefined) return
    if (this.#bytes > this.#mostBytes) {
      closeSync(this.#descriptor)
      renameSync(this.#path, `${this.#path}.1`)
      this.#descriptor = openSync(this.#path, 'a', 0o600)
      this.#bytes = 0
    }
    this.#bytes += writeSync(this.#descriptor, chunk)
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
