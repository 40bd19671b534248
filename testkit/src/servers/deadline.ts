// Waiting for a server, with a deadline and an error that shows the end of the server's log.
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const PAUSE_MS = 100
const LAST_LINES = 15

interface Wait<T> {
  /** Completes the sentence "… in time". */
  readonly what: string
  readonly withinMs: number
  /** Where the server writes; the last lines of those that exist are shown in the error. */
  readonly logs: readonly string[]
  /** Undefined while it is not there yet. */
  attempt(): Promise<T | undefined>
  /** Says why there is no sense in waiting any longer. */
  hopeless?(): string | undefined
}

/** Resolves with what `attempt` gives; rejects after `withinMs`, or at once when it is hopeless. */
export async function waitFor<T>({ what, withinMs, logs, attempt, hopeless }: Wait<T>): Promise<T> {
  const endsAt = performance.now() + withinMs
  for (;;) {
    const found = await attempt()
    if (found !== undefined) return found
    const reason = hopeless?.()
    if (reason !== undefined) throw new Error(`${what}: ${reason}${endOf(logs)}`)
    if (performance.now() > endsAt) throw new Error(`${what}: not within ${withinMs / 1000} s${endOf(logs)}`)
    await sleep(PAUSE_MS)
  }
}

/** The last lines of each of the files that exist, with its path, as text to append to a sentence. */
export function endOf(logs: readonly string[]): string {
  return logs
    .filter((path) => existsSync(path))
    .map((path) => ({ path, lines: readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LAST_LINES) }))
    .filter(({ lines }) => lines.join('') !== '')
    .map(({ path, lines }) => `\nThe end of ${path}:\n${lines.map((line) => `  ${line}`).join('\n')}`)
    .join('')
}
