// The interface of every fault.
import type { Random } from '../random.ts'
import type { Testbed } from '../testbed.ts'
import type { Clients } from '../workload/clients.ts'
import type { Sender } from '../workload/requests.ts'

/** Faults of one group never run at the same time, because they would undo each other. */
export type Group = 'services' | 'broker' | 'database' | 'amqp leg' | 'mysql leg' | 'moment'

export interface Scene {
  readonly testbed: Testbed
  readonly clients: Clients
  /** Sends the messages that a fault needs in flight at the right time. */
  readonly sender: Sender
  readonly random: Random
  readonly interrupted: AbortSignal
}

export interface Fault {
  /** The name in the counts and in `--mix`. */
  readonly kind: string
  readonly group: Group
  readonly weight: number
  /** Causes the fault, and resolves when it has begun. */
  inject(scene: Scene): Promise<Injected>
}

export interface Injected {
  /** Details for the output, such as the affected service. */
  readonly note: string
  /** How long the fault lasts. */
  readonly lastsMs: number
  /** Ends the fault. Resolves with true if the fault took effect. */
  repair(): Promise<boolean>
}
