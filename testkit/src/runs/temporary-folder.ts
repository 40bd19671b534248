// The temporary folder of one test run. It is deleted after the run, and files that tests left behind are reported.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Jest's own cache of compiled code. */
const JEST_KEEPS = 'node-compile-cache'

/** Directly in the system's temporary folder, because the path of a Unix socket is limited to about 100 bytes. */
export class TemporaryFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'ims-test-'))

  /** Deletes the folder, once. If tests left files in it, prints their names and returns false. */
  remove(): boolean {
    const left = existsSync(this.path) ? readdirSync(this.path).filter((name) => name !== JEST_KEEPS) : []
    rmSync(this.path, { recursive: true, force: true })
    if (left.length > 0) process.stdout.write(`✗ tests left these in the temporary folder: ${left.join(', ')}\n`)
    return left.length === 0
  }
}
