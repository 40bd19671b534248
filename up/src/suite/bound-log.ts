// Keeps a log that other programs append to from filling the disk.
import { copyFileSync, rmSync, statSync, truncateSync } from 'node:fs'

const MAX_BYTES = 20_000_000

/** Beyond `maxBytes` the content of the file moves to `<path>.1`, replacing the one before. Never throws. */
export function boundLog(path: string, maxBytes = MAX_BYTES): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined || found.size <= maxBytes) return
    keepCopy(path)
    // Not renamed: the program would go on writing to the old file.
    truncateSync(path)
  } catch {
    // Tried again the next time.
  }
}

/** On a full disk there is no copy, and the truncation that follows makes room. */
function keepCopy(path: string): void {
  try {
    copyFileSync(path, `${path}.1`)
  } catch {
    rmSync(`${path}.1`, { force: true })
  }
}
