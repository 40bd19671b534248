// The dependencies of the HTTP interface: broker, configuration and service, real or in memory.
import type { Broker, DeadLetterDesk, Service } from '@ims/messaging'
import type { HttpConfig } from './config.ts'
import type { ConsoleFiles } from './console/files.ts'
import type { KeysNow } from './http/authorisation.ts'
import type { Limits } from './http/limits.ts'

export interface Dependencies {
  readonly broker: Pick<Broker, 'publisher' | 'requester'> & Partial<Pick<Broker, 'notReady' | 'queueStates'>>
  readonly config: HttpConfig
  /** Those of the configuration when omitted. */
  readonly keysNow?: KeysNow
  readonly service: Pick<Service, 'log' | 'meter' | 'stopping'>
  /** Derived from the configuration and the memory of the process when omitted. */
  readonly limits?: Limits
  /** The served host names. All when omitted. */
  readonly servedHosts?: ReadonlySet<string> | undefined
  /** False sends every request through Express's router, for tests that compare both ways. */
  readonly isShort?: boolean
  /** Without it there is nothing under /dead_letters. */
  readonly deadLetters?: DeadLetterDesk
  /** Without it there is no console. */
  readonly console?: ConsoleFiles
}
