// Starts one service as a process and keeps all its output, for tests of its log when it fails.
import { join } from 'node:path'
import { eventually, start } from 'testkit'
import { ROOT, type ServiceName } from '../stack.ts'

const running: Running[] = []

/** A service that may never become ready. */
export interface Running {
  readonly ended: Promise<number | null>
  signal(name: NodeJS.Signals): void
  /** All output so far, of both streams. */
  output(): string
}

/** Starts a service whose environment has only `PATH` and these variables. */
export function startWith(name: ServiceName, env: Record<string, string>): Running {
  const { child, ended, out, err } = start({
    command: [process.execPath, join(name, 'src/main.ts')],
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
  })
  const started: Running = {
    ended: ended.then(({ code }) => code),
    signal: (which) => void child.kill(which),
    output: () => out() + err(),
  }
  running.push(started)
  return started
}

/** Waits until the output matches `pattern`, and returns the first group of the match. */
export async function logged({ output }: Running, pattern: RegExp): Promise<string> {
  let found = ''
  await eventually(() => {
    const match = pattern.exec(output())
    if (match === null) throw new Error(`not logged: ${pattern}\n${output()}`)
    found = match[1] ?? ''
  })
  return found
}

/** The headers and bodies of all pages of the admin port, as one text. */
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
  for (const { signal, ended } of running.splice(0)) {
    signal('SIGKILL')
    await ended
  }
}
