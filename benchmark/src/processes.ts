// Starts and ends the processes that are measured: the suite's services, the bare ceilings, and the load.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** USER_HZ, which Linux fixes for all programs. */
const TICKS_PER_S = 100

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Program {
  /** A TypeScript file, from the root of its tree. */
  readonly file: string
  /** The tree that it is run from; this one when left out. */
  readonly root?: string
  readonly env: Readonly<Record<string, string>>
  readonly args?: readonly string[]
}

export interface Running {
  readonly pid: number
  /** The next line that it prints on standard output. */
  line(): Promise<string>
  /** SIGTERM, and the exit awaited. */
  end(): Promise<void>
}

export class Processes {
  readonly #running = new Set<ChildProcess>()
  readonly #failure = Promise.withResolvers<never>()

  constructor() {
    this.#failure.promise.catch(() => {})
  }

  /** Rejects when a process ends that was to run until it is told to end: what is measured then is nobody, or a stranger. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  /** Starts a program that runs until `end`; its standard error goes to ours. */
  start(program: Program): Running {
    const child = this.#spawn(program)
    let isEnding = false
    const exited = exitOf(child).then((how) => {
      this.#running.delete(child)
      if (!isEnding)
        this.#failure.reject(new Error(`${program.file} ended with ${how} while it was needed; what it said is above`))
    })
    const lines: string[] = []
    let rest = ''
    let wake = () => {}
    child.stdout?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop() ?? ''
      lines.push(...parts)
      wake()
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

  /** Runs a program to its end; resolves with what it printed, and rejects unless it ended with 0. */
  async run(program: Program): Promise<string> {
    const child = this.#spawn(program)
    let printed = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk
    })
    const how = await exitOf(child)
    this.#running.delete(child)
    if (how !== 'exit code 0') throw new Error(`${program.file} ended with ${how}; what it said is above`)
    return printed
  }

  /** Ends whatever is still running. */
  endAll(): void {
    for (const child of this.#running) child.kill('SIGKILL')
  }

  #spawn({ file, root = ROOT, env, args = [] }: Program): ChildProcess {
    const child = spawn(process.execPath, [file, ...args], {
      cwd: root,
      env: { ...process.env, LOG_LEVEL: 'warn', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#running.add(child)
    return child
  }
}

/** How it ended. By then all that it printed was read. */
function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal))
  })
}

/** Resident memory of a process in MB (Linux: VmRSS). */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

/** CPU time that a process used since its start, in user and kernel mode (Linux: fields 14 and 15 of proc_pid_stat(5)). */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // The second field is the name of the program, in parentheses, and may contain anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S
}

/** Waits until `isSo`, asking again and again; rejects after `withinS`, naming what was waited for. */
export async function until(
  what: string,
  isSo: () => Promise<boolean>,
  everyMs: number,
  withinS: number,
): Promise<void> {
  for (const deadline = performance.now() + withinS * 1_000; !(await isSo()); ) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinS} s`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

/** Waits until `url` answers 200, for at most 30 s. */
export async function untilOk(url: string): Promise<void> {
  const answers = () =>
    fetch(url).then(
      ({ status }) => status === 200,
      () => false,
    )
  await until(`${url} answers 200`, answers, 50, 30)
}
