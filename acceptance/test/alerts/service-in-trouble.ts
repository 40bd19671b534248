// One service as a process, for tests of its output in failures. Everything it writes is kept.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { eventually } from 'testkit'
import { ROOT, type ServiceName } from '../stack.ts'

const running: Running[] = []

/** A service that may never become ready. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** All output so far, of both streams. */
  output(): string
}

/** Starts a service with only these variables. */
export function startWith(name: ServiceName, env: Record<string, string>): Running {
  const child = spawn(process.execPath, [join(name, 'src/main.ts')], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk
    })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const started = { child, ended, output: () => output }
  running.push(started)
  return started
}

/** Waits until the output matches `pattern`, and returns its first group. */
export async function logged({ output }: Running, pattern: RegExp): Promise<string> {
  let found = ''
  await eventually(() => {
    const match = pattern.exec(output())
    if (match === null) throw new Error(`not said: ${pattern}\n${output()}`)
    found = match[1] ?? ''
  }, 30_000)
  return found
}

/** The responses of the admin port. */
export async function adminPages(service: Running): Promise<string> {
  const port = await logged(service, /"adminPort":(\d+)/)
  const pages = ['livez', 'readyz', 'metrics'].map(async (page) => {
    const response = await fetch(`http://127.0.0.1:${port}/${page}`)
    return `${JSON.stringify([...response.headers])}${await response.text()}`
  })
  return (await Promise.all(pages)).join('\n')
}

/** Ends all services started here. */
export async function killAll(): Promise<void> {
  for (const { child, ended } of running.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
}
