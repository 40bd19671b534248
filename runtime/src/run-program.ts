// Runs an interactive program. Provides its arguments, output with backpressure, Ctrl-C handling and exit code.
import { type ConfigOf, InvalidEnvironment, parseEnvironment, type Sections } from './config.ts'
import { EXIT } from './exit-codes.ts'
import { limitYoungGeneration } from './memory-budget.ts'

/** A terminal sends Ctrl-C to every process of the command, and some processes forward it. Signals within this time count as one. */
const SAME_SIGNAL_MS = 500
const EXIT_INTERRUPTED = 130
/** This is small, because a program that runs in a container shares the memory with the service. */
const MEMORY_BYTES = 128 * 1_048_576

export interface Program<S extends Sections> {
  readonly config: ConfigOf<S>
  readonly args: readonly string[]
  /** Standard input. */
  readonly input: () => NodeJS.ReadStream
  /** Standard error if it is a terminal, for a progress bar. Otherwise undefined. */
  readonly terminal: NodeJS.WriteStream | undefined
  /** Writes to standard output. Resolves when the output can accept more. */
  out(text: string): Promise<void>
  /** Writes a line to standard error. */
  err(line: string): void
  /** Aborts on the first Ctrl-C or SIGTERM, and when the standard output is closed or cannot be written. A further signal ends the process. */
  readonly stopping: AbortSignal
}

/**
 * Runs `main` and exits with the code that it resolves with.
 * Other exit codes: 1 `main` threw, the message is on standard error · 73 the standard output cannot be written · 78 the
 * configuration is wrong, every variable is named.
 */
export async function runProgram<S extends Sections>(
  sections: S,
  main: (program: Program<S>) => Promise<number>,
): Promise<void> {
  const err = (line: string) => void process.stderr.write(`${line}\n`)
  try {
    const config = parseEnvironment(sections, process.env)
    limitYoungGeneration({ totalBytes: MEMORY_BYTES })
    const stop = new AbortController()
    stopOnSignals(stop)
    let unwritable: NodeJS.ErrnoException | undefined
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      // EPIPE: the reader has closed the pipe, as `… | head` does.
      if (error.code !== 'EPIPE') unwritable = error
      stop.abort()
    })
    const terminal = process.stderr.isTTY ? process.stderr : undefined
    const args = process.argv.slice(2)
    const code = await main({
      config,
      args,
      input: () => process.stdin,
      terminal,
      out,
      err,
      stopping: stop.signal,
    })
    if (unwritable !== undefined) err(`✗ the standard output cannot be written: ${unwritable.message}`)
    process.exitCode = unwritable === undefined ? code : EXIT.CANNOT_WRITE
  } catch (error) {
    if (error instanceof InvalidEnvironment) for (const problem of error.problems) err(`configuration: ${problem}`)
    else err(error instanceof Error ? error.message : String(error))
    process.exitCode = error instanceof InvalidEnvironment ? EXIT.CONFIG : EXIT.UNCLEAN
  }
}

function stopOnSignals(stop: AbortController): void {
  let lastAt = Number.NEGATIVE_INFINITY
  const onSignal = () => {
    const now = performance.now()
    if (now - lastAt < SAME_SIGNAL_MS) return
    lastAt = now
    if (stop.signal.aborted) process.exit(EXIT_INTERRUPTED)
    stop.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal)
}

function out(text: string): Promise<void> {
  const { stdout } = process
  return new Promise((resolve) => {
    if (stdout.destroyed || stdout.write(text)) return resolve()
    const done = () => {
      stdout.off('drain', done)
      stdout.off('close', done)
      resolve()
    }
    stdout.on('drain', done)
    stdout.on('close', done)
  })
}
