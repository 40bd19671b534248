// Starts child processes for `up`, the tests and the benchmark, and handles their output and exit.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { StringDecoder } from 'node:string_decoder'

export interface Program {
  readonly command: readonly [string, ...string[]]
  readonly cwd?: string
  /** Its whole environment, by default that of this process. Put secrets here, never in `command`, which every user of the machine can read. */
  readonly env?: NodeJS.ProcessEnv
}

export interface StartOptions extends Program {
  /** By default standard input is empty, and the output is piped to this process. */
  readonly stdio?: SpawnOptions['stdio']
  /** Starts the program in its own session. Ctrl-C in the terminal does not reach it, and `killGroup` also ends its child processes. */
  readonly ownGroup?: boolean
  /** Receives the output of both streams as it arrives. With `onChunk` or `onLine`, `out` and `err` return empty strings. */
  onChunk?(chunk: Buffer): void
  /** Receives each line of both streams. A character that is split between two chunks is decoded correctly. */
  onLine?(line: string): void
}

/** How a program ended. If `code` and `signal` are null, it could not be started, and `error` is the reason. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly error?: Error
}

export interface Started {
  readonly child: ChildProcess
  /** Resolves when the program has exited and its output has been read. Never rejects. */
  readonly ended: Promise<End>
  /** The standard output so far. */
  out(): string
  err(): string
  killGroup(signal: NodeJS.Signals): void
}

/** How long to wait for the remaining output after the exit. A grandchild may keep the pipe open for ever. */
const REST_OF_OUTPUT_MS = 500
const KILLED_BY_SIGNAL = 128
const EXIT_FAILURE = 1

/** Starts the program. If the start fails, `ended` resolves with the error. */
export function start({ command, cwd, env, stdio, ownGroup = false, onChunk, onLine }: StartOptions): Started {
  const [program, ...args] = command
  const child = spawn(program, args, { cwd, env, detached: ownGroup, stdio: stdio ?? ['ignore', 'pipe', 'pipe'] })
  const kept: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] }
  for (const name of ['stdout', 'stderr'] as const) {
    const lines = onLine === undefined ? undefined : splitLines(onLine)
    child[name]?.on('data', (chunk: Buffer) => {
      onChunk?.(chunk)
      lines?.push(chunk)
      if (!(onChunk || onLine)) kept[name].push(chunk)
    })
    child[name]?.once('end', () => lines?.end())
  }
  const ended = new Promise<End>((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, error })
    })
    child.once('exit', (code, signal) => {
      const finish = () => resolve({ code, signal })
      // Reads the pipes once more first, because the event loop may have been blocked.
      const timer = setTimeout(() => setImmediate(finish), REST_OF_OUTPUT_MS)
      child.once('close', () => {
        clearTimeout(timer)
        finish()
      })
    })
  })
  const text = (name: 'stdout' | 'stderr') => Buffer.concat(kept[name]).toString()
  return {
    child,
    ended,
    out: () => text('stdout'),
    err: () => text('stderr'),
    killGroup: (signal) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal)
      } catch {
        // The whole group has exited already.
      }
    },
  }
}

/** Runs the program to its end. Never rejects. `code` is null when a signal ended it or it could not be started. */
export async function runToEnd(program: Program): Promise<{ code: number | null; out: string; err: string }> {
  const { ended, out, err } = start(program)
  const { code } = await ended
  return { code, out: out(), err: err() }
}

/** Runs the program on our terminal and forwards signals to it. Resolves with its exit code, as a shell would return it. */
export async function onTerminal(program: Program): Promise<number> {
  const { child, ended } = start({ ...program, stdio: 'inherit' })
  const handlers = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => ({ name, kill: () => child.kill(name) }))
  for (const { name, kill } of handlers) process.on(name, kill)
  const { code, signal, error } = await ended
  for (const { name, kill } of handlers) process.off(name, kill)
  if (error !== undefined) process.stderr.write(`✗ ${program.command[0]}: ${error.message}\n`)
  return code ?? (signal === null ? EXIT_FAILURE : KILLED_BY_SIGNAL + constants.signals[signal])
}

function splitLines(onLine: (line: string) => void): { push(chunk: Buffer): void; end(): void } {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  return {
    push: (chunk) => {
      const pieces = (rest + decoder.write(chunk)).split('\n')
      rest = pieces.pop() ?? ''
      for (const line of pieces) onLine(line)
    },
    end: () => {
      if (rest !== '') onLine(rest)
      rest = ''
    },
  }
}
