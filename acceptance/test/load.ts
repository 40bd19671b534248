// Puts load on the running suite: clients create items and record which ones were accepted.
import { setTimeout as pause } from 'node:timers/promises'
import { call, item } from './http.ts'

const AFTER_REFUSAL_MS = 50

export interface Load {
  /** The skus of the items whose request got a 200 response. */
  readonly accepted: readonly string[]
  /** How often each status was returned. 0 stands for no response. */
  readonly statuses: ReadonlyMap<number, number>
  stop(): Promise<void>
}

/** Creates items, numbered from `from`, in the suite at `http` until stopped. Each of the `clients` sends one request at a time. */
export function loadOn(http: string, from: number, clients = 8): Load {
  const accepted: string[] = []
  const statuses = new Map<number, number>()
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
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status === 200) accepted.push(item(n).sku)
      else await pause(AFTER_REFUSAL_MS)
    }
  }
  const done = Promise.all(Array.from({ length: clients }, client))
  return {
    accepted,
    statuses,
    stop: async () => {
      on = false
      await done
    },
  }
}
