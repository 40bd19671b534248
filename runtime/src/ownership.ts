// What a service owns: closed in the reverse of the order in which it was taken on, and asked whether it is ready.
import type { Log } from './service.ts'

/** Something that must be closed. `notReady` says in one sentence why it cannot do its work now. */
export interface Owned {
  close(): Promise<void>
  notReady?(): string | undefined | Promise<string | undefined>
  /** What an operator should mend although the work goes on, in one sentence. */
  warning?(): string | undefined
}

interface Entry {
  readonly resource: Owned
  readonly label: string
}

/**
 * Longest wait for one answer of notReady(): a probe, which waits for 2 s, must have its answer before, and what is asked has
 * shorter deadlines of its own, which name what does not answer.
 */
const READINESS_TIMEOUT_MS = 1_800

export class Ownership {
  readonly #log: Log
  readonly #owned: Entry[] = []

  constructor(log: Log) {
    this.#log = log
  }

  /** Takes `resource` on and returns it; `label` is what the log calls it. */
  own<T extends Owned>(resource: T, label: string = resource.constructor.name): T {
    this.#owned.push({ resource, label })
    return resource
  }

  /** What is not closed yet, in the order in which it will be. */
  get open(): readonly string[] {
    return this.#owned.map(({ label }) => label).reverse()
  }

  /** Why the owned things are not ready; empty when all are. One that fails to say so, or does not in time, is not. */
  async reasons(): Promise<readonly string[]> {
    const answers = await Promise.all(this.#owned.map(reasonOf))
    return answers.filter((answer) => answer !== undefined)
  }

  get warnings(): readonly string[] {
    return this.#owned.map(({ resource }) => resource.warning?.()).filter((warning) => warning !== undefined)
  }

  /** Closes one after the other, last taken on first. What fails to close is logged and stops nobody. */
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
