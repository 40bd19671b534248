// Extracts the version before the last schema change, so that its processes can run next to the current ones.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { linkDependencies } from '../copied-sources.ts'
import { ROOT } from '../stack.ts'

/** Every file that is added at these paths changes the schema. */
const SCHEMA = ['repository/src/migrations', 'repository/src/schema.ts']

const git = (...args: string[]) =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()

/** The commit whose processes must still work on the current schema, or the reason why it cannot be determined. */
export function earlierVersion(): { commit: string } | { missing: string } {
  try {
    // A schema change is not committed yet, so HEAD is the version before it.
    if (git('status', '--porcelain', '--', ...SCHEMA).match(/^(\?\?|A)/m)) return { commit: git('rev-parse', 'HEAD') }
    // Follows first parents, because a merge is one change to the branch that it was merged into.
    const options = [
      '--first-parent',
      '--diff-merges=first-parent',
      '--diff-filter=A',
      '--format=%H',
      '--name-only',
      '-1',
    ]
    const [changed] = git('log', ...options, 'HEAD', '--', ...SCHEMA).split('\n')
    return { commit: git('rev-parse', '--verify', `${changed}^1^{commit}`) }
  } catch {
    return { missing: 'the git history is missing: fetch it with git fetch --unshallow' }
  }
}

export interface Sources {
  readonly root: string
  remove(): void
}

/** Extracts the sources of `commit`, with links to the dependencies that are installed here. */
export function sourcesOf(commit: string): Sources {
  const parent = join(ROOT, '.local')
  mkdirSync(parent, { recursive: true })
  const root = mkdtempSync(join(parent, 'earlier-'))
  const archive = execFileSync('git', ['archive', commit], { cwd: ROOT, maxBuffer: 2 ** 30 })
  execFileSync('tar', ['-x'], { cwd: root, input: archive })
  linkDependencies(root)
  return { root, remove: () => rmSync(root, { recursive: true }) }
}
