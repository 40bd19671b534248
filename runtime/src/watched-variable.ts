// Watches the file of a NAME_FILE variable, so that its value can change without a restart.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * How often the content is read and compared. File events would miss changes: Kubernetes swaps a link, editors rename
 * files, and some file systems send no events.
 */
const LOOK_EVERY_MS = 2_000

export interface Watched {
  /** Called with the first value, which may be newer than the parsed configuration, and with each new value. */
  changed(value: string): void
  /** Called once each time the file becomes unreadable. */
  unreadable(why: string): void
}

/**
 * Watches the file that the environment variable `name`_FILE names. Does nothing when that variable is not set. Reads the
 * value as parseEnvironment does.
 */
export function watchVariable(
  name: string,
  { changed, unreadable }: Watched,
  everyMs = LOOK_EVERY_MS,
): { close(): Promise<void> } {
  const file = process.env[`${name}_FILE`]
  if (!file) return { close: async () => {} }
  const stop = new AbortController()
  let last: ReturnType<typeof valueIn> | undefined
  const look = () => {
    const now = valueIn(file)
    if (now.value === last?.value && now.why === last?.why) return
    last = now
    if (now.value === undefined) unreadable(`${name}_FILE: cannot read ${file}: ${now.why}`)
    else changed(now.value)
  }
  const watching = (async () => {
    while (!stop.signal.aborted) {
      look()
      await sleep(everyMs, undefined, { signal: stop.signal, ref: false }).catch(() => {})
    }
  })()
  return {
    close: async () => {
      stop.abort()
      await watching
    },
  }
}

/** The content of the file without one trailing line break, or the reason why it cannot be read. */
export function valueIn(file: string): { value: string; why?: undefined } | { value?: undefined; why: string } {
  try {
    return { value: readFileSync(file, 'utf8').replace(/\r?\n$/, '') }
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) }
  }
}
