// Standard output for log lines. The lines of a few milliseconds are written at once, because under load a write costs
// more than a line.
import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { LogSink, type Loss } from './log-sink.ts'

const STANDARD_OUTPUT = 1
/** Longest time that a line waits for others. A process that is killed loses the lines of this time, unless it calls flush. */
const GATHER_MAX_MS = 5
/** Written before that when there are more characters than this. */
const GATHER_MAX_CHARACTERS = 65_536
/** How long the end of the process waits for a slow reader. */
const LAST_LINES_WITHIN_MS = 3_000

export interface LogOutput {
  /** Takes one or more whole lines. Never blocks and never throws. */
  write(line: string): void
  /** Writes the lines that wait for others, so that they are not lost if the process is killed now. Never blocks and never throws. */
  flush(): void
  /** Adds a listener that is called when lines are lost. */
  onLoss(loss: Partial<Loss>): void
}

let shared: LogOutput | undefined

/** The one output of the process. Two of them could mix their lines. */
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

/** A descriptor on which a write never waits for a reader. The original one if it cannot wait. */
function nonBlockingStandardOutput(): number {
  // Node.js makes pipes and sockets non-blocking when it opens these streams, and writes its own warnings to the
  // second. Their errors must not end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  // A second descriptor of a regular file would have its own offset. Writing to a file does not wait for a reader.
  if (fstatSync(STANDARD_OUTPUT).isFile()) return STANDARD_OUTPUT
  try {
    // Our own descriptor of the pipe or terminal, because another process that shares the original one may make it blocking again.
    return openSync('/dev/fd/1', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    // A socket, or a pipe that another user created.
    return STANDARD_OUTPUT
  }
}
