// One service as a child process. Its log goes to a file, its last lines are kept, and it is stopped with a deadline.
import { spawn } from 'node:child_process'
import { StringDecoder } from 'node:string_decoder'
import { identify, type ProcessIdentity } from 'testkit/processes/process-identity'
import { LogFile } from './log-file.ts'

/** A service: the command to run, and the address where it reports its readiness. */
export interface ServiceSpec {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly cwd: string
  /** Its whole environment. Secrets belong here and never in `command`, which every user of the machine can read. */
  readonly env: NodeJS.ProcessEnv
  readonly adminPort: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly lastLines: readonly string[]
  /** How a process ended whose exit code and signal are unknown to us. */
  readonly how?: string
}

export interface Child {
  /** Undefined when the program could not be started, or has not started yet. */
  readonly identity: ProcessIdentity | undefined
  readonly exited: Promise<Exit>
  /** Sends SIGTERM, and SIGKILL to the whole group if it still runs after `deadlineMs` or when `hurry` aborts. */
  stop(deadlineMs: number, hurry: AbortSignal): Promise<Exit>
}

const LAST_LINES = 10

/** How long to wait for the remaining output of a dead process. A grandchild may hold the pipe open for ever. */
const REST_OF_OUTPUT_MS = 500

/** Starts the program. `onLine` receives each line of its output. A failed start counts as an exit and does not throw. */
export function startChild(spec: ServiceSpec, logPath: string, onLine: (line: string) => void): Child {
  const log = new LogFile(logPath)
  const lastLines: string[] = []
  const keep = (line: string) => {
    if (line.trim() === '') return
    lastLines.push(line)
    if (lastLines.length > LAST_LINES) lastLines.shift()
    onLine(line)
  }
  const [program, ...args] = spec.command
  const child = spawn(program, args, {
    cwd: spec.cwd,
    env: spec.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session of its own, so that Ctrl-C in the terminal reaches only the supervisor, which then stops the services in order.
    detached: true,
  })
  for (const stream of [child.stdout, child.stderr]) {
    const lines = splitLines(keep)
    stream.on('data', (chunk: Buffer) => {
      log.append(chunk)
      lines.push(chunk)
    })
    stream.once('end', lines.end)
  }
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => {
      keep(error.message)
      resolve({ code: null, signal: null, lastLines })
    })
    child.once('exit', (code, signal) => {
      const finish = () => resolve({ code, signal, lastLines })
      const timer = setTimeout(finish, REST_OF_OUTPUT_MS)
      child.once('close', () => {
        clearTimeout(timer)
        finish()
      })
    })
  }).finally(() => log.close())

  return {
    identity: child.pid === undefined ? undefined : identify(child.pid),
    exited,
    stop: (deadlineMs, hurry) => {
      child.kill('SIGTERM')
      const kill = () => killGroup(child.pid)
      const timer = setTimeout(kill, deadlineMs)
      if (hurry.aborted) kill()
      hurry.addEventListener('abort', kill)
      return exited.finally(() => {
        clearTimeout(timer)
        hurry.removeEventListener('abort', kill)
      })
    },
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The whole group has exited already.
  }
}

/** Splits a stream of bytes into lines. A character whose bytes arrive in two chunks stays whole. */
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
