// The currently valid API keys. API_KEYS_FILE is read again when it changes. A removed key becomes invalid even if other lines are wrong.
import type { Service } from '@ims/messaging'
import { type Watched, watchVariable } from '@ims/runtime'
import { type ApiKey, readKeys } from './api-keys.ts'
import type { KeysNow } from './authorisation.ts'

export interface WatchedKeys {
  readonly keysNow: KeysNow
  /** The errors of the file, in one sentence. Undefined if there are none. */
  warning(): string | undefined
  close(): Promise<void>
}

/**
 * Starts with `keys`. If they came from API_KEYS_FILE, follows its changes. Only keys in valid lines of the file are
 * accepted: none if it is empty or unreadable. `everyMs` is the polling interval, by default that of watchVariable.
 */
export function watchApiKeys(
  keys: readonly ApiKey[] | 'open' | undefined,
  { log, meter }: Pick<Service, 'log' | 'meter'>,
  everyMs?: number,
): WatchedKeys {
  if (keys === undefined || keys === 'open') {
    const who = keys === 'open' ? 'open: everybody who can reach the HTTP port' : 'not set: everybody on this machine'
    log.warn({}, `API_KEYS is ${who} may use the API, except /dead_letters`)
    if (keys === undefined) return { keysNow: () => undefined, warning: () => undefined, close: async () => {} }
  }
  /** Undefined while the API is open. When the file no longer says `open`, keys are needed from then on. */
  let valid = keys === 'open' ? undefined : keys
  let wrong: string | undefined
  const use = (now: readonly ApiKey[], problems: readonly string[]) => {
    valid = now
    const sentence = `API_KEYS_FILE: ${problems.join('; ')}`
    wrong =
      problems.length === 0 ? undefined : `${sentence}: only the keys in its other lines are valid (${now.length})`
    meter.observe('api_keys_valid', now.length)
    meter.observe('api_keys_problems', problems.length)
    if (wrong !== undefined) log.error({}, wrong)
    log.info({ clients: now.map(({ name }) => name) }, `API keys: ${now.length} valid`)
  }
  if (valid !== undefined) meter.observe('api_keys_valid', valid.length)
  const watched: Watched = {
    changed: (value) => {
      if (valid === undefined && value.trim() === 'open') return
      const { keys, problems } = readKeys(value)
      use(keys, problems)
    },
    unreadable: (why) => use([], [why.replace(/^API_KEYS_FILE: /, '')]),
  }
  const { close } = watchVariable('API_KEYS', watched, everyMs)
  return { keysNow: () => valid, warning: () => wrong, close }
}
