// The commit of a Git clone. Measurements record it, so that they can be repeated.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The commit of the clone in `directory`, with the suffix `-dirty` if it has uncommitted changes, or `no git` if Git fails. */
export async function commitOf(directory: string): Promise<string> {
  const git = promisify(execFile)('git', ['describe', '--always', '--dirty', '--exclude', '*'], { cwd: directory })
  return await git.then(
    ({ stdout }) => stdout.trim(),
    () => 'no git',
  )
}
