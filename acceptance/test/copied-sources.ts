// Makes runnable copies of the repository's sources. Their dependencies are links to the packages installed here.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { ROOT } from './stack.ts'

const NO_SOURCES = ['.git', '.local', 'node_modules']

/** Copies the current sources into a temporary folder, and links their dependencies. `remove` deletes the copy. */
export function copyOfSources(): { root: string; remove(): void } {
  const root = mkdtempSync(join(tmpdir(), 'ims-copy-'))
  cpSync(ROOT, root, { recursive: true, filter: (path) => !NO_SOURCES.includes(basename(path)) })
  linkDependencies(root)
  return { root, remove: () => rmSync(root, { recursive: true }) }
}

const manifest = z.object({ name: z.string() })

/** Links the installed packages into `root`. The suite's own packages link to the sources in `root` itself. */
export function linkDependencies(root: string): void {
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
