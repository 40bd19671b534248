// The sources of the version before the schema last changed, so that its processes can run beside those of today.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { ROOT } from './stack.ts'

/** A file that joins these changes the schema. */
const SCHEMA = ['repository/src/migrations', 'repository/src/schema.ts']

const git = (...args: string[]) =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()

/** The commit whose processes must go on working on today's schema, or why that cannot be told. */
export function earlierVersion(): { commit: string } | { missing: string } {
  try {
    // Not committed yet: the version before it is the last one that is.
    if (git('status', '--porcelain', '--', ...SCHEMA).match(/^(\?\?|A)/m)) return { commit: git('rev-parse', 'HEAD') }
    // Along the first parents: what a merge brought is new since the commit that it was merged into.
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
    return { missing: 'the history of git is not here: clone the whole repository (git fetch --unshallow)' }
  }
}

export interface Sources {
  readonly root: string
  remove(): void
}

/** Lays out the sources of `commit`, with the dependencies that are installed here. */
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

/** Everything that is installed, but the suite's own packages, which must be those of `root`. */
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
