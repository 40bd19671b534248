// Checks whether the resources of a service are ready, and closes them in reverse order of registration.
import type { Log } from './service.ts'

/** A resource that must be closed. `notReady` returns one sentence that says why the resource cannot be used now, or undefined. */
export interface Owned {
  close(): Promise<void>
  notReady?(): string | undefined | Promise<string | undefined>
  /** One sentence about a problem that an operator should fix, although the service works. */
  warning?(): string | undefined
}

interface Entry {
  readonly resource: Owned
  readonly label: string
}

/**
 * The longest wait for one notReady(). A probe times out after 2 s and must get a response before that. Resources have
 * shorter timeouts of their own, and their errors name the server that does not respond.
 */
const READINESS_TIMEOUT_MS = 1_800

export class Ownership {
  readonly #log: Log
  readonly #owned: Entry[] = []

  constructor(log: Log) {
    this.#log = log
  }

  /** Registers `resource` and returns it. `label` is its name in the log. */
  own<T extends Owned>(resource: T, label: string = resource.constructor.name): T {
    this.#owned.push({ resource, label })
    return resource
  }

  /** The labels of the resources that are not closed yet, in closing order. */
  get open(): readonly string[] {
    return this.#owned.map(({ label }) => label).reverse()
  }

  /** Why resources are not ready. Empty when all are ready. A resource that throws, or does not respond in time, is not ready. */
  async reasons(): Promise<readonly string[]> {
    const answers = await Promise.all(this.#owned.map(reasonOf))
    return answers.filter((answer) => answer !== undefined)
  }

  get warnings(): readonly string[] {
    return this.#owned.map(({ resource }) => resource.warning?.()).filter((warning) => warning !== undefined)
  }

  /** Closes the resources one after the other, last registered first. If one fails to close, logs the error and continues. */
  async close(): Promise<void> {
    for (let entry = this.#owned.at(-1); entry; entry = this.#owned.at(-1)) {
      try {
        await entry.resource.close()
      } catch (error) {
        this.#log.error({ error: String(error) }, `${entry.label} could not close cleanly`)
      }
      this.#owned.splice(this.#owned.indexOf(entry), 1)
    }
  }
}

async function reasonOf({ resource, label }: Entry): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<string>((resolve) => {
    const sentence = `${label} did not report within ${READINESS_TIMEOUT_MS} ms whether it is ready`
    timer = setTimeout(resolve, READINESS_TIMEOUT_MS, sentence)
  })
  try {
    return await Promise.race([resource.notReady?.(), silence])
  } catch (error) {
    return `${label}: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    clearTimeout(timer)
  }
}
