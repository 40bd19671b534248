// Standard output for log lines. Lines are gathered for up to 5 ms and written together, because under load a system
// call costs more than a line.
import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { LogSink, type Loss } from './log-sink.ts'

const STANDARD_OUTPUT = 1
/** The longest time that a line is buffered. A process that is killed loses the buffered lines, unless it called `flush`. */
const GATHER_MAX_MS = 5
/** With more characters than this, the gathered lines are written immediately. */
const GATHER_MAX_CHARACTERS = 65_536
/** At exit, the process waits this long for a slow reader. */
const LAST_LINES_WITHIN_MS = 3_000

export interface LogOutput {
  /** Takes one or more whole lines. Never blocks and never throws. */
  write(line: string): void
  /** Writes the buffered lines, so that they are not lost if the process is killed. Never blocks and never throws. */
  flush(): void
  /** Adds a listener that is called when lines are lost, and when lines are accepted again. */
  onLoss(loss: Partial<Loss>): void
}

let shared: LogOutput | undefined

/** The only output of the process. With two outputs, lines could be mixed. */
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
  let gathered = ''
  let lines = 0
  const flush = () => {
    if (gathered === '') return
    const [text, count] = [gathered, lines]
    gathered = ''
    lines = 0
    sink.push(Buffer.from(text), count)
  }
  process.on('exit', () => {
    flush()
    sink.drainWithin(LAST_LINES_WITHIN_MS)
  })
  return {
    write: (line) => {
      if (gathered === '') setTimeout(flush, GATHER_MAX_MS).unref()
      gathered += line
      lines += 1
      if (gathered.length > GATHER_MAX_CHARACTERS) flush()
    },
    flush,
    onLoss: (loss) => void listeners.push(loss),
  }
}

/** A file descriptor on which a write never waits for a reader. Standard output itself if that is not possible or not needed. */
function nonBlockingStandardOutput(): number {
  // Node.js makes pipes and sockets non-blocking when it opens these streams, and writes warnings to standard error.
  // Errors of these streams must not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  // A file has no reader to wait for, and a second descriptor of it would have its own offset.
  if (fstatSync(STANDARD_OUTPUT).isFile()) return STANDARD_OUTPUT
  try {
    // A new descriptor of the pipe or terminal, because another process that shares standard output may make it blocking again.
    return openSync('/dev/fd/1', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    // Standard output is a socket, or a pipe that another user created.
    return STANDARD_OUTPUT
  }
}
