// Where the files of a directory were written: a directory that was moved keeps its processes, a copy has none.
import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The directory as it is to be recorded in its files. */
export function placeOf(directory: string): string {
  return realpathSync(directory)
}

/**
 * True when `file` is a copy: it records another directory, and the original is still there. The processes that it names are the
 * original's.
 */
export function isCopy(file: string, recorded: string | undefined): boolean {
  if (recorded === undefined || recorded === placeOf(dirname(file))) return false
  const original = statSync(join(recorded, basename(file)), { throwIfNoEntry: false })
  if (original === undefined) return false
  const own = statSync(file)
  // One file at two paths, as by a bind mount, is no copy.
  return original.ino !== own.ino || original.dev !== own.dev
}
