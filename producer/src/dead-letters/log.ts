// Logs a redrive or discard from the command line, in the same format as the producer logs one over HTTP.
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { createLog, type Log } from '@ims/runtime'
import { z } from 'zod'

export const deadLettersLogEnvironment = z
  .object({
    DEAD_LETTERS_LOG: z.string().optional().describe('file to which each redrive and discard appends a line'),
  })
  .transform((v) => ({ path: v.DEAD_LETTERS_LOG }))

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants

/** A log that appends to `path`, if given. If a line cannot be written, reports that to `err` and continues. */
export function deadLettersLog(path: string | undefined, err: (line: string) => void): Pick<Log, 'info' | 'warn'> {
  const write = (line: string) => {
    if (path === undefined) return
    try {
      // In a container, `path` is the standard output of process 1. It may be a pipe without a reader, so do not block.
      const file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
      try {
        writeSync(file, line)
      } finally {
        closeSync(file)
      }
    } catch (error) {
      err(`! cannot write to the log ${path}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return createLog('dead-letters', { level: 'info', format: 'json' }, { write })
}
