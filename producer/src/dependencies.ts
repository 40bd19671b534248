// What the HTTP interface is handed: broker, configuration and service, real or in memory.
import type { Broker, DeadLetterDesk, Service } from '@ims/messaging'
import type { KeysNow } from './authorisation.ts'
import type { HttpConfig } from './config.ts'
import type { Limits } from './limits.ts'

export interface Dependencies {
  readonly broker: Pick<Broker, 'publisher' | 'requester'> & Partial<Pick<Broker, 'notReady'>>
  readonly config: HttpConfig
  /** Those of the configuration when left out. */
  readonly keysNow?: KeysNow
  readonly service: Pick<Service, 'log' | 'meter' | 'stopping'>
  /** Those that the configuration and the memory of the process give when left out. */
  readonly limits?: Limits
  /** The host names that are served: all when left out. */
  readonly servedHosts?: ReadonlySet<string> | undefined
  /** False: every request goes through Express's router; for tests that compare. */
  readonly isShort?: boolean
  /** Without it there is nothing under /dead_letters. */
  readonly deadLetters?: DeadLetterDesk
}
