// GET /queues: the messages and consumers of each queue, as the broker counts them, and the commands that this process sent.
import { contracts, NotAccepted, type QueueState } from '@ims/messaging'
import type { AcceptedCommands } from '../accepted-commands.ts'
import type { Dependencies } from '../dependencies.ts'
import { sendJson } from '../http/answer.ts'
import type { Handler } from '../http/step.ts'

/** The response is cached for this time, so that the broker gets at most one query in it, however many clients ask. */
const CACHED_MS = 1_000
const COMMAND_QUEUES = contracts.filter(({ kind }) => kind === 'command').map(({ queue }) => queue)

interface Answer {
  readonly queues: readonly (QueueState & { readonly accepted?: number })[]
  readonly producer: string
  readonly measuredAt: string
}

export function queuesRoute({
  broker,
  accepted,
}: Pick<Dependencies, 'broker'> & { accepted: AcceptedCommands }): Handler {
  let asked: { readonly answer: Promise<Answer>; readonly untilMs: number } | undefined
  const ask = async (): Promise<Answer> => {
    // Counted before the broker is asked, because a command that is counted here has reached its queue by then.
    const counted = new Map(COMMAND_QUEUES.map((queue) => [queue, accepted.of(queue)]))
    const states = (await broker.queueStates?.(contracts)) ?? []
    const queues = states.map((state) => {
      const count = counted.get(state.queue)
      return count === undefined ? state : { ...state, accepted: count }
    })
    return { queues, producer: accepted.producer, measuredAt: new Date().toISOString() }
  }
  return async (_, response) => {
    const why = broker.notReady?.()
    if (why !== undefined) throw new NotAccepted('disconnected', why)
    if (asked === undefined || performance.now() > asked.untilMs) {
      asked = { answer: ask(), untilMs: performance.now() + CACHED_MS }
    }
    const answer = await asked.answer.catch((error: Error) => {
      asked = undefined
      throw new NotAccepted('disconnected', error.message)
    })
    sendJson(response, 200, answer)
  }
}
