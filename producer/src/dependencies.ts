// The dependencies of the HTTP interface: broker, configuration and service, real or in memory.
import type { Broker, DeadLetterDesk, Service } from '@ims/messaging'
import type { HttpConfig } from './config.ts'
import type { ConsoleFiles } from './console/files.ts'
import type { KeysNow } from './http/authorisation.ts'
import type { Limits } from './http/limits.ts'

export interface Dependencies {
  readonly broker: Pick<Broker, 'publisher' | 'requester'> & Partial<Pick<Broker, 'notReady' | 'queueStates'>>
  readonly config: HttpConfig
  /** By default, the keys of the configuration. */
  readonly keysNow?: KeysNow
  readonly service: Pick<Service, 'log' | 'meter' | 'stopping'>
  /** By default, derived from the configuration and the memory of the process. */
  readonly limits?: Limits
  /** The allowed host names. By default, all. */
  readonly servedHosts?: ReadonlySet<string> | undefined
  /** If false, every request goes through Express's router. A test compares the responses with those of the short cut. */
  readonly isShort?: boolean
  /** If omitted, there are no routes under /dead_letters. */
  readonly deadLetters?: DeadLetterDesk
  /** If omitted, there is no console. */
  readonly console?: ConsoleFiles
}
