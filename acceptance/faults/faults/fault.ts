// What every fault looks like to the nemesis.

import type { Random } from '../random.ts'
import type { Clients } from '../workload/clients.ts'
import type { Sender } from '../workload/requests.ts'
import type { World } from '../world.ts'

/** Faults of one group are never struck at the same time: they would undo each other. */
export type Group = 'services' | 'broker' | 'database' | 'amqp leg' | 'mysql leg' | 'moment'

export interface Scene {
  readonly world: World
  readonly clients: Clients
  /** For messages that a fault needs to be on their way at the right time. */
  readonly sender: Sender
  readonly random: Random
  readonly interrupted: AbortSignal
}

export interface Fault {
  /** What is counted and what `--mix` names. */
  readonly kind: string
  readonly group: Group
  readonly weight: number
  /** Does harm, and resolves when it is done. */
  strike(scene: Scene): Promise<Struck>
}

export interface Struck {
  /** What exactly was done, for the reader of the run. */
  readonly note: string
  /** For how long it is to last, in milliseconds. */
  readonly lastsMs: number
  /** Ends it; resolves with whether it took effect at all. */
  heal(): Promise<boolean>
}
