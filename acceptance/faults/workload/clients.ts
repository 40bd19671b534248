// Concurrent clients. Each plays one scenario after the other until it is stopped or paused.
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../random.ts'
import type { Sender } from './requests.ts'
import { scenarios } from './scenarios.ts'

const BETWEEN_MS = 8
const HELD_MS = 10

export interface Clients {
  /** Pauses the clients. Resolves when no client has a request in flight. */
  hold(): Promise<void>
  resume(): void
  /** Stops the clients. Resolves when all have finished their scenarios. Rejects if one failed unexpectedly. */
  stop(): Promise<void>
}

/** Starts `count` clients. */
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
