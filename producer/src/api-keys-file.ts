// The API keys that are valid now: read again when API_KEYS_FILE changes, and never worse off for a file that is wrong.
import type { Service } from '@ims/messaging'
import { type Watched, watchVariable } from '@ims/runtime'
import { type ApiKey, apiKeys } from './api-keys.ts'
import type { KeysNow } from './authorisation.ts'

export interface WatchedKeys {
  readonly keysNow: KeysNow
  close(): Promise<void>
}

/**
 * Begins with `keys` and follows API_KEYS_FILE, if that is where they came from. A file that cannot be read, or is wrong
 * anywhere in it, changes nothing: the keys from before stay valid, no other becomes so, and the log says why. `everyMs` is
 * how often it is looked at, watchVariable's own when left out.
 */
export function watchApiKeys(
  keys: readonly ApiKey[] | undefined,
  { log }: Pick<Service, 'log'>,
  everyMs?: number,
): WatchedKeys {
  if (keys === undefined) {
    log.warn({}, 'API_KEYS is not set: everybody who can reach the HTTP port may use it, all but /dead_letters')
    return { keysNow: () => undefined, close: async () => {} }
  }
  let valid = keys
  const say = () => log.info({ clients: valid.map(({ name }) => name) }, `API keys: ${valid.length} valid`)
  const watched: Watched = {
    changed: (value) => {
      const { data, error } = apiKeys.safeParse(value)
      if (error) {
        const problems = error.issues.map(({ message }) => message).join('; ')
        return log.error({}, `API_KEYS_FILE: ${problems}: the API keys from before stay valid`)
      }
      valid = data
      say()
    },
    unreadable: (why) => log.error({}, `${why}: the API keys from before stay valid`),
  }
  const { close } = watchVariable('API_KEYS', watched, everyMs)
  return { keysNow: () => valid, close }
}
