// Records where the files of a directory were written. A moved directory keeps its processes; a copy has none.
import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The path of the directory as its files record it. */
export function placeOf(directory: string): string {
  return realpathSync(directory)
}

/**
 * True when `file` is a copy: it records another directory, and the original still exists. The processes that it names
 * belong to the original.
 */
export function isCopy(file: string, recorded: string | undefined): boolean {
  if (recorded === undefined || recorded === placeOf(dirname(file))) return false
  const original = statSync(join(recorded, basename(file)), { throwIfNoEntry: false })
  if (original === undefined) return false
  const own = statSync(file)
  // One file at two paths, for example through a bind mount, is not a copy.
  return original.ino !== own.ino || original.dev !== own.dev
}
