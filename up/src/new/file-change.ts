// Text changes of files. All changes are computed before the first file is written.
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** `file` is a path below the root. Without `from` the file is new, otherwise every `from` in it becomes `to`. */
export interface FileChange {
  readonly file: string
  readonly from?: string
  readonly to: string
}

/** The request cannot be fulfilled. Nothing has been written. */
export class NotPossible extends Error {
  readonly exitCode = 1
}

/** The new text of every changed file, by path. Throws NotPossible when a change does not match the current files. */
export function textsAfter(root: string, changes: readonly FileChange[]): Map<string, string> {
  const texts = new Map<string, string>()
  for (const { file, from, to } of changes) {
    const path = join(root, file)
    if (from === undefined && existsSync(path)) throw new NotPossible(`${file} exists already`)
    const text = texts.get(file) ?? (from === undefined ? '' : readFileSync(path, 'utf8'))
    if (from !== undefined && !text.includes(from)) throw new NotPossible(`${file} does not contain:\n${from}`)
    texts.set(file, from === undefined ? to : text.replaceAll(from, () => to))
  }
  return texts
}

/** Writes all texts, or none: if one cannot be written, the previous ones are restored. */
export function writeAll(root: string, texts: ReadonlyMap<string, string>): void {
  const undo: (() => void)[] = []
  try {
    for (const [file, text] of texts) {
      const path = join(root, file)
      const before = existsSync(path) ? readFileSync(path, 'utf8') : undefined
      const folder = dirname(path)
      const firstNew = mkdirSync(folder, { recursive: true })
      undo.push(() => (before === undefined ? removeNew(path, firstNew) : writeFileSync(path, before)))
      writeFileSync(path, text)
    }
  } catch (error) {
    for (const step of undo.reverse()) step()
    throw error
  }
}

/** Removes a new file and the folders created for it. `firstNew` is the outermost. */
function removeNew(path: string, firstNew: string | undefined): void {
  rmSync(path, { force: true })
  if (firstNew === undefined) return
  for (let folder = dirname(path); folder.length >= firstNew.length; folder = dirname(folder)) rmdirSync(folder)
}
