// Counts the commands that this process has accepted. The console plots them.
import { randomUUID } from 'node:crypto'
import type { Contract } from '@ims/messaging'

/** Counts accepted commands by queue, since the process started. */
export class AcceptedCommands {
  /** Identifies the counts of this process, because several producers can share one address, and a new process counts from 0. */
  readonly producer = randomUUID()
  readonly #counts = new Map<string, number>()

  count({ queue }: Pick<Contract, 'queue'>): void {
    this.#counts.set(queue, this.of(queue) + 1)
  }

  of(queue: string): number {
    return this.#counts.get(queue) ?? 0
  }
}
