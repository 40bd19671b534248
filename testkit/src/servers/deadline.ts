// Waits for a server, with a timeout. The error contains the last lines of the server's log.
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const PAUSE_MS = 100
const LAST_LINES = 15

interface Wait<T> {
  /** The awaited event, for the error: `start of MySQL`. */
  readonly what: string
  readonly withinMs: number
  /** The server's log files. The error contains the last lines of those that exist. */
  readonly logs: readonly string[]
  /** Returns the result, or undefined to be called again. */
  attempt(): Promise<T | undefined>
  /** Returns a reason to stop waiting early. */
  hopeless?(): string | undefined
}

/** Resolves with the result of `attempt`. Rejects after `withinMs`, or as soon as `hopeless` returns a reason. */
export async function waitFor<T>({ what, withinMs, logs, attempt, hopeless }: Wait<T>): Promise<T> {
  const endsAt = performance.now() + withinMs
  for (;;) {
    const found = await attempt()
    if (found !== undefined) return found
    const reason = hopeless?.()
    if (reason !== undefined) throw new Error(`${what}: ${reason}${endOf(logs)}`)
    if (performance.now() > endsAt) throw new Error(`${what}: timed out after ${withinMs / 1000} s${endOf(logs)}`)
    await sleep(PAUSE_MS)
  }
}

/** The last lines of each file that exists, with its path, as text to append to a sentence. */
export function endOf(logs: readonly string[]): string {
  return logs
    .filter((path) => existsSync(path))
    .map((path) => ({ path, lines: readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LAST_LINES) }))
    .filter(({ lines }) => lines.join('') !== '')
    .map(({ path, lines }) => `\nThe end of ${path}:\n${lines.map((line) => `  ${line}`).join('\n')}`)
    .join('')
}
