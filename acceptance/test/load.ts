// Load on the running suite: clients that create items, and know which ones were accepted.
import { setTimeout as pause } from 'node:timers/promises'
import { call, item } from './http.ts'

const AFTER_REFUSAL_MS = 50

export interface Load {
  /** The skus that were answered with 200. */
  readonly accepted: readonly string[]
  /** How often each status was answered; 0 stands for no answer. */
  readonly answers: ReadonlyMap<number, number>
  stop(): Promise<void>
}

/** Posts items `from` on to the suite at `http`, one after the other from each of `clients`, until told to stop. */
export function loadOn(http: string, from: number, clients = 8): Load {
  const accepted: string[] = []
  const answers = new Map<number, number>()
  let on = true
  let next = from
  const client = async () => {
    while (on) {
      const n = next
      next += 1
      const status = await call(`${http}/create_item`, { json: item(n) }).then(
        (answer) => answer.status,
        () => 0,
      )
      answers.set(status, (answers.get(status) ?? 0) + 1)
      if (status === 200) accepted.push(item(n).sku)
      else await pause(AFTER_REFUSAL_MS)
    }
  }
  const done = Promise.all(Array.from({ length: clients }, client))
  return {
    accepted,
    answers,
    stop: async () => {
      on = false
      await done
    },
  }
}
