// Writes the files of a result: JSON for `--compare`, and the page.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { page } from './page.ts'
import { ROOT } from './processes.ts'
import { loadNow, type Result } from './result.ts'

/** Writes both files to .local/bench. Returns their paths. */
export async function writeResult(current: Result, before: Result | undefined): Promise<readonly string[]> {
  const directory = join(ROOT, '.local', 'bench')
  await mkdir(directory, { recursive: true })
  const base = join(directory, current.startedAt.slice(0, 19).replaceAll(':', '-'))
  const ended = { ...current, load: [...current.load.slice(0, 1), loadNow()] }
  await writeFile(`${base}.json`, `${JSON.stringify(ended, null, 1)}\n`)
  await writeFile(`${base}.html`, page(ended, before))
  return [`${base}.json`, `${base}.html`]
}
