// Counts the commands that this process has accepted. The console plots them.
import { randomUUID } from 'node:crypto'
import type { Contract } from '@ims/messaging'

/** Commands by queue, since the process started. */
export class AcceptedCommands {
  /** Identifies this process. Behind one address, each producer has its own counts, and a restart sets them to 0. */
  readonly producer = randomUUID()
  readonly #counts = new Map<string, number>()

  count({ queue }: Pick<Contract, 'queue'>): void {
    this.#counts.set(queue, this.of(queue) + 1)
  }

  of(queue: string): number {
    return this.#counts.get(queue) ?? 0
  }
}
