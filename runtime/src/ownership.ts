// The resources of a service. They are asked whether they are ready, and closed in reverse order of registration.
import type { Log } from './service.ts'

/** Something that must be closed. `notReady` says in one sentence why it cannot do its work now. */
export interface Owned {
  close(): Promise<void>
  notReady?(): string | undefined | Promise<string | undefined>
  /** What an operator should fix although the work continues, in one sentence. */
  warning?(): string | undefined
}

interface Entry {
  readonly resource: Owned
  readonly label: string
}

/**
 * Longest wait for one notReady(). A probe waits for 2 s and must have its response before that. Resources have shorter
 * deadlines of their own, which name what does not respond.
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

  /** The resources that are not closed yet, in the order in which they will be. */
  get open(): readonly string[] {
    return this.#owned.map(({ label }) => label).reverse()
  }

  /** Why the resources are not ready. Empty when all are. A resource that throws, or does not respond in time, is not ready. */
  async reasons(): Promise<readonly string[]> {
    const answers = await Promise.all(this.#owned.map(reasonOf))
    return answers.filter((answer) => answer !== undefined)
  }

  get warnings(): readonly string[] {
    return this.#owned.map(({ resource }) => resource.warning?.()).filter((warning) => warning !== undefined)
  }

  /** Closes one after the other, last registered first. An error while closing is logged, and the others are still closed. */
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
    const sentence = `${label} did not say within ${READINESS_TIMEOUT_MS} ms whether it is ready`
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
