// Checks out the version before the last schema change, so that its processes can run beside the current ones.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { ROOT } from './stack.ts'

/** Each file added here changes the schema. */
const SCHEMA = ['repository/src/migrations', 'repository/src/schema.ts']

const git = (...args: string[]) =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()

/** The commit whose processes must still work on the current schema, or the reason why it cannot be determined. */
export function earlierVersion(): { commit: string } | { missing: string } {
  try {
    // The change is not committed yet, so HEAD is the version before it.
    if (git('status', '--porcelain', '--', ...SCHEMA).match(/^(\?\?|A)/m)) return { commit: git('rev-parse', 'HEAD') }
    // Follow first parents: a merge is one change to the branch it was merged into.
    const along = [
      '--first-parent',
      '--diff-merges=first-parent',
      '--diff-filter=A',
      '--format=%H',
      '--name-only',
      '-1',
    ]
    const [changed] = git('log', ...along, 'HEAD', '--', ...SCHEMA).split('\n')
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

const manifest = z.object({ name: z.string() })

/** Links every installed package, except the suite's own, which must be those of `root`. */
function linkDependencies(root: string): void {
  const own = new Map(
    readdirSync(root).flatMap((name) => {
      const file = join(root, name, 'package.json')
      if (!existsSync(file)) return []
      return [[manifest.parse(JSON.parse(readFileSync(file, 'utf8'))).name, name] as const]
    }),
  )
  const link = (name: string, target: string) => {
    const place = join(root, 'node_modules', name)
    mkdirSync(dirname(place), { recursive: true })
    symlinkSync(target, place)
  }
  for (const [name, folder] of own) link(name, join(root, folder))
  const installed = join(ROOT, 'node_modules')
  for (const entry of readdirSync(installed)) {
    const names = entry.startsWith('@') ? readdirSync(join(installed, entry)).map((each) => join(entry, each)) : [entry]
    for (const name of names) if (!own.has(name)) link(name, join(installed, name))
  }
  for (const folder of own.values()) {
    const nested = join(ROOT, folder, 'node_modules')
    if (existsSync(nested)) symlinkSync(nested, join(root, folder, 'node_modules'))
  }
}
