// Limits the size of a log that other programs append to.
import { copyFileSync, rmSync, statSync, truncateSync } from 'node:fs'

const MAX_BYTES = 20_000_000

/** When the file exceeds `maxBytes`, moves its content to `<path>.1`, replacing the previous one. Never throws. */
export function boundLog(path: string, maxBytes = MAX_BYTES): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined || found.size <= maxBytes) return
    keepCopy(path)
    // Copied and truncated instead of renamed, because the program keeps the file open.
    truncateSync(path)
  } catch {
    // The next call tries again.
  }
}

/** On a full disk the copy fails. The file is truncated nevertheless, to free space. */
function keepCopy(path: string): void {
  try {
    copyFileSync(path, `${path}.1`)
  } catch {
    rmSync(`${path}.1`, { force: true })
  }
}
