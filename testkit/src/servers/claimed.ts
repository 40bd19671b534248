// Lets only one process at a time start servers in a directory. Other processes wait.
import { setTimeout as sleep } from 'node:timers/promises'
import { claimDirectory } from '../processes/claim.ts'
import type { OnProgress } from './servers.ts'

const PAUSE_MS = 200
const TURN_WITHIN_MS = 300_000

/** Runs `work` while it holds the lock. Rejects when it does not get the lock within five minutes. */
export async function claimed<T>(directory: string, onProgress: OnProgress, work: () => Promise<T>): Promise<T> {
  const endsAt = performance.now() + TURN_WITHIN_MS
  let release = claimDirectory(directory)
  if (release === undefined) onProgress(`another process is starting servers in ${directory}: waiting for it`)
  while (release === undefined) {
    if (performance.now() > endsAt)
      throw new Error(`another process has been starting servers in ${directory} for too long`)
    await sleep(PAUSE_MS)
    release = claimDirectory(directory)
  }
  try {
    return await work()
  } finally {
    release()
  }
}
