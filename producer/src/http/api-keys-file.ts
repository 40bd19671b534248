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
  /** Undefined while the API is open. Once the file has listed a key, keys are needed from then on. */
  let valid = keys === 'open' ? undefined : keys
  /** A file that could not be read for a moment, or was just being written, must not lock everybody out until a restart. */
  let mayReopen = keys === 'open'
  let wrong: string | undefined
  const use = (now: readonly ApiKey[], problems: readonly string[]) => {
    valid = now
    mayReopen &&= now.length === 0
    const sentence = `API_KEYS_FILE: ${problems.join('; ')}`
    wrong =
      problems.length === 0 ? undefined : `${sentence}: only the keys in its other lines are valid (${now.length})`
    meter.observe('api_keys_valid', now.length)
    meter.observe('api_keys_problems', problems.length)
    if (wrong !== undefined) log.error({}, wrong)
    log.info({ clients: now.map(({ name }) => name) }, `API keys: ${now.length} valid`)
  }
  const reopen = () => {
    if (valid === undefined) return
    valid = undefined
    wrong = undefined
    meter.observe('api_keys_problems', 0)
    log.warn(
      {},
      'API_KEYS_FILE says open again: everybody who can reach the HTTP port may use the API, except /dead_letters',
    )
  }
  if (valid !== undefined) meter.observe('api_keys_valid', valid.length)
  const watched: Watched = {
    changed: (value) => {
      if (mayReopen && value.trim() === 'open') return reopen()
      const { keys, problems } = readKeys(value)
      use(keys, problems)
    },
    unreadable: (why) => use([], [why.replace(/^API_KEYS_FILE: /, '')]),
  }
  const { close } = watchVariable('API_KEYS', watched, everyMs)
  return { keysNow: () => valid, warning: () => wrong, close }
}
