// One service as a process, for tests of what it says when it cannot do its work: everything it writes is kept as it is.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { eventually } from 'testkit'
import { ROOT, type ServiceName } from './stack.ts'

const running: Running[] = []

/** A service that may never get ready. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  /** All that it has written so far, to either stream. */
  output(): string
}

/** Starts a service with these variables and no others. */
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

/** Waits until it has said `pattern`, and returns the first group of it. */
export async function said({ output }: Running, pattern: RegExp): Promise<string> {
  let found = ''
  await eventually(() => {
    const match = pattern.exec(output())
    if (match === null) throw new Error(`not said: ${pattern}\n${output()}`)
    found = match[1] ?? ''
  }, 30_000)
  return found
}

/** What the admin port shows. */
export async function adminPages(service: Running): Promise<string> {
  const port = await said(service, /"adminPort":(\d+)/)
  const pages = ['livez', 'readyz', 'metrics'].map(async (page) => {
    const response = await fetch(`http://127.0.0.1:${port}/${page}`)
    return `${JSON.stringify([...response.headers])}${await response.text()}`
  })
  return (await Promise.all(pages)).join('\n')
}

/** Ends all that were started here. */
export async function killAll(): Promise<void> {
  for (const { child, ended } of running.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
}
