// The temporary folder of one test run: nothing that tests put there stays on the machine, and what they forget is named.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Compiled code of jest itself. */
const JEST_KEEPS = 'node-compile-cache'

/** Directly in the system's, because the path of a socket below it may have about 100 bytes only. */
export class TemporaryFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'ims-test-'))
  /** For the processes of the run. */
  readonly env: NodeJS.ProcessEnv = { ...process.env, TMPDIR: this.path }

  /** Removes the folder, once. Returns false, after naming them, when tests have left files in it. */
  remove(): boolean {
    const left = existsSync(this.path) ? readdirSync(this.path).filter((name) => name !== JEST_KEEPS) : []
    rmSync(this.path, { recursive: true, force: true })
    if (left.length > 0) process.stdout.write(`✗ tests left these in the temporary folder: ${left.join(', ')}\n`)
    return left.length === 0
  }
}
