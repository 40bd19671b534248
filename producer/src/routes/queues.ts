// GET /queues: what each queue holds and how many consumers it has, as the broker counts them.
import { contracts, NotAccepted, type QueueState } from '@ims/messaging'
import type { Dependencies } from '../dependencies.ts'
import { sendJson } from '../http/answer.ts'
import type { Handler } from '../http/step.ts'

/** All callers within this time get the same answer, so the broker is asked at most once in it. */
const CACHED_MS = 1_000

export function queuesRoute({ broker }: Pick<Dependencies, 'broker'>): Handler {
  let asked: { readonly states: Promise<readonly QueueState[]>; readonly untilMs: number } | undefined
  return async (_, response) => {
    const why = broker.notReady?.()
    if (why !== undefined) throw new NotAccepted('disconnected', why)
    if (asked === undefined || performance.now() > asked.untilMs) {
      const states = broker.queueStates?.(contracts) ?? Promise.resolve([])
      asked = { states, untilMs: performance.now() + CACHED_MS }
    }
    const queues = await asked.states.catch((error: Error) => {
      asked = undefined
      throw new NotAccepted('disconnected', error.message)
    })
    sendJson(response, 200, { queues })
  }
}
