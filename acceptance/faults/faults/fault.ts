// The interface of every fault.

import type { Random } from '../random.ts'
import type { Clients } from '../workload/clients.ts'
import type { Sender } from '../workload/requests.ts'
import type { World } from '../world.ts'

/** Faults of one group never run at the same time, because they would undo each other. */
export type Group = 'services' | 'broker' | 'database' | 'amqp leg' | 'mysql leg' | 'moment'

export interface Scene {
  readonly world: World
  readonly clients: Clients
  /** For messages that a fault needs in flight at the right time. */
  readonly sender: Sender
  readonly random: Random
  readonly interrupted: AbortSignal
}

export interface Fault {
  /** The name in the counts and in `--mix`. */
  readonly kind: string
  readonly group: Group
  readonly weight: number
  /** Causes the fault, and resolves when it is in place. */
  strike(scene: Scene): Promise<Struck>
}

export interface Struck {
  /** What exactly was done, for the reader of the output. */
  readonly note: string
  /** The duration, in milliseconds. */
  readonly lastsMs: number
  /** Ends it. Resolves with whether it took effect at all. */
  heal(): Promise<boolean>
}
