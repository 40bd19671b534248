// The commit of a clone, so that a measured result can be repeated.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Of the clone in `directory`. Ends with `-dirty` when files were changed. */
export async function commitOf(directory: string): Promise<string> {
  const git = promisify(execFile)('git', ['describe', '--always', '--dirty', '--exclude', '*'], { cwd: directory })
  return await git.then(
    ({ stdout }) => stdout.trim(),
    () => 'no git',
  )
}
