// The temporary folder of one test run. It is deleted after the run, and files that tests left in it are reported.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The cache of compiled code, which jest creates. */
const JEST_CACHE = 'node-compile-cache'

/** The folder is directly in the system's temporary folder, because the path of a Unix socket is limited to about 100 bytes. */
export class TemporaryFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'ims-test-'))

  /** Deletes the folder. If tests left files in it, prints their names and returns false. */
  remove(): boolean {
    const left = existsSync(this.path) ? readdirSync(this.path).filter((name) => name !== JEST_CACHE) : []
    rmSync(this.path, { recursive: true, force: true })
    if (left.length > 0) process.stdout.write(`✗ tests left files in the temporary folder: ${left.join(', ')}\n`)
    return left.length === 0
  }
}
