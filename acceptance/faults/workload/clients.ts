// Several clients at once, each playing one story after the other until told to stop, or to hold still for a moment.
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../random.ts'
import type { Sender } from './requests.ts'
import { scenarios } from './scenarios.ts'

const BETWEEN_MS = 8
const HELD_MS = 10

export interface Clients {
  /** Resolves when no client has anything under way; they go on with `resume`. */
  hold(): Promise<void>
  resume(): void
  /** Resolves when all are through with what they were at. Rejects when one failed in a way nobody foresaw. */
  stop(): Promise<void>
}

/** Sets `count` clients to work. */
export function startClients(sender: Sender, random: Random, count: number): Clients {
  let on = true
  let held = false
  let busy = 0
  const client = async (own: Random) => {
    while (on) {
      if (held) {
        await pause(HELD_MS)
        continue
      }
      busy += 1
      try {
        await own.weighted(scenarios).play(sender, own)
      } finally {
        busy -= 1
      }
      await pause(BETWEEN_MS)
    }
  }
  const done = Promise.all(Array.from({ length: count }, () => client(random.fork())))
  done.catch(() => {})
  return {
    hold: async () => {
      held = true
      while (busy > 0) await pause(HELD_MS)
    },
    resume: () => {
      held = false
    },
    stop: async () => {
      on = false
      await done
    },
  }
}
