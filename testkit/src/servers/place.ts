// Distinguishes a moved directory, which still owns the processes named in its files, from a copy, which does not.
import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The canonical path of the directory, which is recorded in its files. */
export function placeOf(directory: string): string {
  return realpathSync(directory)
}

/**
 * True when `file` is a copy: it records another directory, and the original file still exists in that directory. The
 * processes that it names belong to the original.
 */
export function isCopy(file: string, recorded: string | undefined): boolean {
  if (recorded === undefined || recorded === placeOf(dirname(file))) return false
  const original = statSync(join(recorded, basename(file)), { throwIfNoEntry: false })
  if (original === undefined) return false
  const own = statSync(file)
  // The same file at two paths, for example through a bind mount, is not a copy.
  return original.ino !== own.ino || original.dev !== own.dev
}
