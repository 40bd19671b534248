// Counts the commands that this process has accepted, for the plots of the console.
import { randomUUID } from 'node:crypto'
import type { Contract } from '@ims/messaging'

/** Commands by queue, since the process started. */
export class AcceptedCommands {
  /** Tells apart the counts of several producers behind one address, and those before and after a restart. */
  readonly producer = randomUUID()
  readonly #counts = new Map<string, number>()

  count({ queue }: Pick<Contract, 'queue'>): void {
    this.#counts.set(queue, this.of(queue) + 1)
  }

  of(queue: string): number {
    return this.#counts.get(queue) ?? 0
  }
}
