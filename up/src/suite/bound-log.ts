// Limits the size of a log that other programs append to.
import { copyFileSync, rmSync, statSync, truncateSync } from 'node:fs'

const MAX_BYTES = 20_000_000

/** When the file exceeds `maxBytes`, moves its content to `<path>.1`, replacing the previous one. Never throws. */
export function boundLog(path: string, maxBytes = MAX_BYTES): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined || found.size <= maxBytes) return
    keepCopy(path)
    // Not renamed, because the program would continue to write to the old file.
    truncateSync(path)
  } catch {
    // Retried the next time.
  }
}

/** On a full disk the copy fails, and the truncation that follows makes room. */
function keepCopy(path: string): void {
  try {
    copyFileSync(path, `${path}.1`)
  } catch {
    rmSync(`${path}.1`, { force: true })
  }
}
