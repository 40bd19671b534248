// Writes log lines to standard output, all those of one turn of the event loop at once: under load a write costs more than a line.
import { type DestinationStream, pino } from 'pino'

/** Written before the turn ends when there is more than this, in characters. */
const HELD_MOST = 65_536

/**
 * Standard output as pino's destination. A line is written at the end of the event loop's turn, at the latest when the
 * process exits; writing is synchronous then, so that no line is lost.
 */
export function standardOutput(): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true })
  let held = ''
  const flush = () => {
    if (held === '') return
    const lines = held
    held = ''
    output.write(lines)
  }
  process.on('exit', flush)
  return {
    write: (line) => {
      if (held === '') setImmediate(flush)
      held += line
      if (held.length > HELD_MOST) flush()
    },
  }
}
