// Limits the size of a log that other programs append to.
import { copyFileSync, rmSync, statSync, truncateSync } from 'node:fs'

const MAX_BYTES = 20_000_000

/** When the file exceeds `maxBytes`, moves its content to `<path>.1`, replacing the previous one. Never throws. */
export function boundLog(path: string, maxBytes = MAX_BYTES): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined || found.size <= maxBytes) return
    keepCopy(path)
    // The file is copied and truncated instead of renamed, because the program keeps it open.
    truncateSync(path)
  } catch {
    // The next call tries again.
  }
}

/** Copies the file to `<path>.1`. If the disk is full, deletes the copy, and the caller truncates the file to free space. */
function keepCopy(path: string): void {
  try {
    copyFileSync(path, `${path}.1`)
  } catch {
    rmSync(`${path}.1`, { force: true })
  }
}
