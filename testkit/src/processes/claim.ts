// A lock on a directory. Only one process at a time can hold it.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'

const SQLITE_BUSY = 5
const busyError = z.object({ errcode: z.literal(SQLITE_BUSY) })

/** Takes the lock and returns a function that releases it. Returns undefined while another process holds it. */
export function claimDirectory(directory: string): (() => void) | undefined {
  // Node has no flock(2). SQLite uses a file lock of the operating system, which is released when the process ends, even on kill -9.
  const database = new DatabaseSync(join(directory, 'claim.sqlite'), { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (busyError.safeParse(error).success) return undefined
    throw error
  }
  return () => database.close()
}
