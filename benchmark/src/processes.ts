// Starts and ends the processes that are measured: the suite's services, the bare ceilings, and the load.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const running = new Set<ChildProcess>()

export interface Running {
  readonly pid: number
  /** The next line that it prints on standard output. */
  line(): Promise<string>
  /** SIGTERM, and the exit awaited. */
  end(): Promise<void>
}

/** Starts a TypeScript file of the project; its standard error goes to ours. */
export function start(file: string, env: Record<string, string>, args: readonly string[] = []): Running {
  const child = spawn(process.execPath, [file, ...args], {
    cwd: root,
    env: { ...process.env, LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  exited.then(() => running.delete(child))
  const lines: string[] = []
  let rest = ''
  let wake = () => {}
  child.stdout.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake()
  })
  exited.then(() => wake())
  return {
    pid: child.pid ?? 0,
    line: async () => {
      for (;;) {
        const line = lines.shift()
        if (line !== undefined) return line
        if (child.exitCode !== null) throw new Error(`${file} ended with exit code ${child.exitCode}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    end: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
}

/** Ends whatever is still running. */
export function endAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** Resident memory of a process in MB (Linux: VmRSS). */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

/** Waits until `url` answers 200, for at most 30 s. */
export async function untilOk(url: string): Promise<void> {
  for (const deadline = Date.now() + 30_000; ; ) {
    const status = await fetch(url).then(
      (response) => response.status,
      () => 0,
    )
    if (status === 200) return
    if (Date.now() > deadline) throw new Error(`${url} did not answer 200 within 30 s`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
