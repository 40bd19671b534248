// What a service owns: closed in the reverse of the order in which it was taken on, and asked whether it is ready.
import type { Log } from './service.ts'

/** Something that must be closed. `notReady` says in one sentence why it cannot do its work now. */
export interface Owned {
  close(): Promise<void>
  notReady?(): string | undefined | Promise<string | undefined>
}

export class Ownership {
  readonly #log: Log
  readonly #owned: Owned[] = []

  constructor(log: Log) {
    this.#log = log
  }

  own<T extends Owned>(resource: T): T {
    this.#owned.push(resource)
    return resource
  }

  /** Why the owned things are not ready; empty when all are. */
  async reasons(): Promise<readonly string[]> {
    const answers = await Promise.all(this.#owned.map(async (resource) => await resource.notReady?.()))
    return answers.filter((answer) => answer !== undefined)
  }

  /** Closes one after the other, last taken on first. What fails to close is logged and stops nobody. */
  async close(): Promise<void> {
    for (let resource = this.#owned.pop(); resource; resource = this.#owned.pop()) {
      try {
        await resource.close()
      } catch (error) {
        this.#log.error({ error: String(error) }, 'could not close cleanly')
      }
    }
  }
}
