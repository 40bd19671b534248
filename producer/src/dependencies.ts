// What the HTTP interface is handed: broker, configuration and service, real or in memory.
import type { Broker, DeadLetterDesk, Service } from '@ims/messaging'
import type { KeysNow } from './authorisation.ts'
import type { HttpConfig } from './config.ts'

export interface Dependencies {
  readonly broker: Pick<Broker, 'publisher' | 'requester'>
  readonly config: HttpConfig
  /** Those of the configuration when left out. */
  readonly keysNow?: KeysNow
  readonly service: Pick<Service, 'log' | 'meter' | 'stopping'>
  /** Without it there is nothing under /dead_letters. */
  readonly deadLetters?: DeadLetterDesk
}
