// Starts and stops the processes of the benchmark: the suite's services, the ceilings, the peers and the load generators.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type End, type Started, start } from 'testkit'

/** USER_HZ. On Linux it is the same for all programs. */
const TICKS_PER_S = 100

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Program {
  /** A TypeScript or JavaScript file, relative to `root`. */
  readonly file: string
  /** The source tree that contains the file. By default this one. */
  readonly root?: string
  readonly env: Readonly<Record<string, string>>
  readonly args?: readonly string[]
}

export interface Running {
  readonly pid: number
  /** The next line on its standard output. */
  line(): Promise<string>
  /** Sends SIGTERM and waits for the exit. */
  end(): Promise<void>
}

export class Processes {
  readonly #running = new Set<Started>()
  readonly #failure = Promise.withResolvers<never>()

  constructor() {
    this.#failure.promise.catch(() => {})
  }

  /** Rejects when a process of `start` exits before `end`. Otherwise the benchmark could measure another program on its port. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  /** Starts a program that runs until `end`. Its standard error is written to ours. */
  start(program: Program): Running {
    const lines: string[] = []
    let wake = () => {}
    const { child, ended } = this.#start(program, (line) => {
      lines.push(line)
      wake()
    })
    let isEnding = false
    const exited = ended.then((end) => {
      if (!isEnding)
        this.#failure.reject(
          new Error(`${program.file} ended with ${describe(end)} while it was needed. Its standard error is above.`),
        )
    })
    return {
      pid: child.pid ?? 0,
      line: async () => {
        for (;;) {
          const line = lines.shift()
          if (line !== undefined) return line
          const next = new Promise<void>((resolve) => {
            wake = resolve
          })
          await Promise.race([next, this.failed])
        }
      },
      end: async () => {
        isEnding = true
        child.kill('SIGTERM')
        await exited
      },
    }
  }

  /** Runs a program to its end and resolves with its output. Rejects unless it exits with 0. */
  async run(program: Program): Promise<string> {
    const { ended, out } = this.#start(program)
    const end = await ended
    if (end.code !== 0) throw new Error(`${program.file} ended with ${describe(end)}. Its standard error is above.`)
    return out()
  }

  /** Kills all processes that still run. */
  endAll(): void {
    for (const { child } of this.#running) child.kill('SIGKILL')
  }

  #start({ file, root = ROOT, env, args = [] }: Program, onLine?: (line: string) => void): Started {
    const started = start({
      command: [process.execPath, file, ...args],
      cwd: root,
      env: { ...process.env, LOG_LEVEL: 'warn', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
      ...(onLine && { onLine }),
    })
    this.#running.add(started)
    void started.ended.then(() => this.#running.delete(started))
    return started
  }
}

const describe = ({ code, signal, error }: End) => error?.message ?? signal ?? `exit code ${code}`

/** Resident memory of a process in MB (Linux: VmRSS). */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

/** CPU time of a process since its start, in user and kernel mode (Linux: fields 14 and 15 of proc_pid_stat(5)). */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program name, in parentheses, and may contain any character.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S
}

/** Polls until `check` resolves with true. After `withinS`, rejects with `what` in the message. */
export async function until(
  what: string,
  check: () => Promise<boolean>,
  everyMs: number,
  withinS: number,
): Promise<void> {
  for (const deadline = performance.now() + withinS * 1_000; !(await check()); ) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinS} s`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

/** Waits until `url` responds 200, for at most 30 s. */
export async function untilOk(url: string): Promise<void> {
  const isOk = () =>
    fetch(url).then(
      ({ status }) => status === 200,
      () => false,
    )
  await until(`${url} responds 200`, isOk, 50, 30)
}
