// Repeats a request until it has a final response. A command has an `Idempotency-Key`, so a repeat is the same command.
import { z } from 'zod'
import { type Answer, type ApiClient, type ApiRequest, NoAnswer } from './api-client.ts'
import { CODE, Stopped } from './exit-codes.ts'
import { isTransient, type Patience } from './patience.ts'

export interface Asking {
  readonly api: ApiClient
  readonly patience: Patience
  /** When it aborts, there are no more attempts. */
  readonly stopping: AbortSignal
  /** When it aborts, requests in flight are cancelled. */
  readonly leaving: AbortSignal
}

const problem = z.object({ type: z.string().default(''), detail: z.string().default('') })

/**
 * The final response. Undefined when there is none.
 * @throws Stopped when the API refuses the key
 */
export const finalAnswer = (request: ApiRequest, asking: Asking): Promise<Answer | undefined> =>
  asking.patience.during(() => attempt(request, asking))

async function attempt(request: ApiRequest, { api, patience, stopping, leaving }: Asking): Promise<Answer | undefined> {
  for (let attempts = 0; ; ) {
    const answer = await api.call({ ...request, signal: leaving }).catch(orNoAnswer)
    if (answer instanceof NoAnswer) {
      attempts += 1
      if (!(await patience.pause(attempts, answer.message, undefined, stopping))) return undefined
      continue
    }
    if (answer.status === 401 || answer.status === 403)
      throw new Stopped(CODE.configuration, `the API refuses the request (see API_KEY): ${problemIn(answer).detail}`)
    if (!isTransient(answer)) {
      patience.progressed()
      return answer
    }
    // A rate limit delays the request, but does not count as a failed attempt.
    if (answer.status !== 429) attempts += 1
    const trouble = `the last response has status ${answer.status}: ${problemIn(answer).detail}`
    if (!(await patience.pause(attempts, trouble, answer, stopping))) return undefined
  }
}

function orNoAnswer(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error
  throw error
}

/** The problem document of a response. Its members are empty if the response has none. */
export const problemIn = (answer: Answer) => problem.safeParse(jsonIn(answer)).data ?? { type: '', detail: '' }

/** Undefined if the response is not JSON. */
export function jsonIn({ text }: Answer): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
