// A service as a child process. Its output is written to a log file, and the last lines are reported when it exits. A stop has a timeout.
import { identify, type ProcessIdentity } from 'testkit/processes/process-identity'
import { start } from 'testkit/processes/start'
import { LogFile } from './log-file.ts'

/** A service: its command, its environment, and the port on which it reports its readiness. */
export interface ServiceSpec {
  readonly name: string
  readonly command: readonly [string, ...string[]]
  readonly cwd: string
  /** Its whole environment. Put secrets here, never in `command`, which every user of the machine can read. */
  readonly env: NodeJS.ProcessEnv
  readonly adminPort: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly lastLines: readonly string[]
  /** How the process ended, if its exit code and signal are unknown. */
  readonly how?: string
}

export interface Child {
  /** Undefined when the process could not be started or has not been started yet. */
  readonly identity: ProcessIdentity | undefined
  readonly exited: Promise<Exit>
  /** Sends SIGTERM, and SIGKILL to the whole group if it still runs after `deadlineMs` or when `hurry` aborts. */
  stop(deadlineMs: number, hurry: AbortSignal): Promise<Exit>
}

const LAST_LINES = 10

/** Starts the service. `onLine` receives each line of its output. A failed start counts as an exit and does not throw. */
export function startChild(spec: ServiceSpec, logPath: string, onLine: (line: string) => void): Child {
  const log = new LogFile(logPath)
  const lastLines: string[] = []
  const keep = (line: string) => {
    if (line.trim() === '') return
    lastLines.push(line)
    if (lastLines.length > LAST_LINES) lastLines.shift()
    onLine(line)
  }
  // The service runs in its own session. Ctrl-C in the terminal then reaches only the supervisor, which stops the services in order.
  const options = { ownGroup: true, onChunk: (chunk: Buffer) => log.append(chunk), onLine: keep }
  const { child, ended, killGroup } = start({ ...spec, ...options })
  const exited = ended
    .then(({ code, signal, error }): Exit => {
      if (error !== undefined) keep(error.message)
      return { code, signal, lastLines }
    })
    .finally(() => log.close())

  return {
    identity: child.pid === undefined ? undefined : identify(child.pid),
    exited,
    stop: (deadlineMs, hurry) => {
      child.kill('SIGTERM')
      const kill = () => killGroup('SIGKILL')
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
