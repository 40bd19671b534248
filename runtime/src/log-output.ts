// Standard output for log lines: all those of one turn of the event loop at once, for under load a write costs more than a line.
import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { LogSink, type Loss } from './log-sink.ts'

const STANDARD_OUTPUT = 1
/** Written before the turn ends when there is more than this, in characters. */
const TURN_MAX_CHARACTERS = 65_536
/** How long the end of the process waits for a slow reader. */
const LAST_LINES_WITHIN_MS = 3_000

export interface LogOutput {
  /** Takes one or more whole lines. Never blocks and never throws. */
  write(line: string): void
  /** Calls `loss` from now on, besides those who asked before, when lines are lost. */
  onLoss(loss: Partial<Loss>): void
}

let shared: LogOutput | undefined

/** The one output of the process: two of them could write into the middle of each other's lines. */
export function standardOutput(): LogOutput {
  shared ??= openStandardOutput()
  return shared
}

function openStandardOutput(): LogOutput {
  const listeners: Partial<Loss>[] = []
  const descriptor = nonBlockingStandardOutput()
  const sink = new LogSink((bytes) => writeSync(descriptor, bytes), {
    lost: (lines) => {
      for (const { lost } of listeners) lost?.(lines)
    },
    resumed: (lines, code) => {
      for (const { resumed } of listeners) resumed?.(lines, code)
    },
  })
  let turn = ''
  let lines = 0
  const flush = () => {
    if (turn === '') return
    const [text, count] = [turn, lines]
    turn = ''
    lines = 0
    sink.push(Buffer.from(text), count)
  }
  process.on('exit', () => {
    flush()
    sink.drainWithin(LAST_LINES_WITHIN_MS)
  })
  return {
    write: (line) => {
      if (turn === '') setImmediate(flush)
      turn += line
      lines += 1
      if (turn.length > TURN_MAX_CHARACTERS) flush()
    },
    onLoss: (loss) => void listeners.push(loss),
  }
}

/** A descriptor on which a write never waits for a reader; the original one where it cannot wait. */
function nonBlockingStandardOutput(): number {
  // Node.js makes pipes and sockets non-blocking when it opens these streams, and writes its own warnings to the second. Their
  // errors must not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  // A second opening of a regular file would have an offset of its own. Writing to one does not wait for a reader.
  if (fstatSync(STANDARD_OUTPUT).isFile()) return STANDARD_OUTPUT
  try {
    // Our own opening of the pipe or terminal: another process that shares the original one may make that blocking again.
    return openSync('/dev/fd/1', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    // A socket, or a pipe that another user made.
    return STANDARD_OUTPUT
  }
}
