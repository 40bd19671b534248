// Starts the fixture service as its own process and reads its output.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly [member: string]: unknown
}

const running = new Set<() => void>()

/** Ends the processes that a failed test left running. */
export function endFixtures(): void {
  for (const end of running) end()
}

/** Starts test/fixtures/service.ts with no other variables than `environment`. By default its admin port is any free one. */
export function startFixture(environment: Record<string, string>, ...options: string[]) {
  const child = spawn(process.execPath, [...options, `${import.meta.dirname}/fixtures/service.ts`], {
    env: { ADMIN_PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const end = () => child.kill('SIGKILL')
  running.add(end)
  const lines: LogLine[] = []
  const waiting = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line))
    for (const look of waiting) look()
  })
  const closed = once(child, 'close').finally(() => running.delete(end))
  return {
    pid: child.pid,
    lines,
    messages: () => lines.map(({ message }) => message),
    signal: (name: NodeJS.Signals) => child.kill(name),
    /** Resolves with the first log line whose message starts with `text`. */
    line: (text: string) =>
      new Promise<LogLine>((resolve) => {
        const look = () => {
          const found = lines.find(({ message }) => message.startsWith(text))
          if (found) resolve(found)
        }
        waiting.add(look)
        look()
      }),
    /** Resolves with the exit code, once all output has been read. */
    exitCode: async (): Promise<number> => (await closed)[0],
  }
}

export type Fixture = ReturnType<typeof startFixture>

/** Requests a path from the admin port of a fixture that has logged its port. */
export async function askAdmin(fixture: Fixture, path: string, method = 'GET'): Promise<Response> {
  const { adminPort } = await fixture.line('starting')
  return await fetch(`http://127.0.0.1:${adminPort}${path}`, { method })
}
