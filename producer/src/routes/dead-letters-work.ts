// The routes that change /dead_letters: redrive and discard, up to a limit per request, with exact counts.
import { type Choice, DeadLettersUnavailable, type Outcomes, type RedriveOptions, type Worked } from '@ims/messaging'
import type { RequestHandler, Response } from 'express'
import { z } from 'zod'
import { sendJson, whenLeft } from '../http/answer.ts'
import { clientOf } from '../http/authorisation.ts'
import { refuseIdempotencyKey } from '../http/idempotency-key.ts'
import { preferredWaitS } from '../http/prefer.ts'
import { readBody } from '../http/request-body.ts'
import { ANSWER_WITHIN_MS, idOf, queueOf, type RouteParts, unknown } from './dead-letters-read.ts'
import { troubleAsProblem } from './dead-letters-trouble.ts'

const MAX = 10_000
const MAX_BY_DEFAULT = 1_000

/** The body of a redrive and of a discard. */
export const deadLetterChoice = z
  .strictObject({
    all: z.literal(true).optional(),
    ids: z.array(z.string().min(1).max(255)).min(1).max(MAX_BY_DEFAULT).optional(),
    reason: z.string().min(1).max(255).optional(),
    dryRun: z.boolean().default(false),
    most: z.int().min(1).max(MAX).default(MAX_BY_DEFAULT),
  })
  .refine(({ all, ids, reason }) => [all, ids, reason].filter((each) => each !== undefined).length === 1, {
    error: 'must have exactly one of all, ids, reason',
  })

/**
 * Redrives or discards the selection in the body: `{"all":true}`, `{"ids":[…]}` or `{"reason":"…"}`, with `most` and `dryRun`.
 * A redrive with `Prefer: wait` waits for the outcomes.
 */
export function workRoute(verb: 'redrive' | 'discard', parts: RouteParts): RequestHandler {
  return async (request, response) => {
    refuseIdempotencyKey(request.headers)
    const {
      all,
      ids,
      reason,
      dryRun,
      most: max,
    } = await readBody({ request, response }, deadLetterChoice, parts.config.bodyMaxBytes)
    const choice: Choice =
      all === true
        ? { by: 'all' }
        : ids === undefined
          ? { by: 'reason', reason: reason ?? '' }
          : { by: 'id', ids: new Set(ids) }
    const queue = queueOf(request)
    const isWork = verb === 'redrive' && !dryRun
    const waitS = isWork ? preferredWaitS(request.headers.prefer, parts.config.preferWaitMaxS) : undefined
    const isWaiting = waitS !== undefined && parts.takeWait(request, response)
    const signal = AbortSignal.any([whenLeft(response), parts.service.stopping])
    const options = { dryRun, max, ...(isWaiting ? { outcomes: { withinMs: waitS * 1_000, signal } } : {}) }
    const outcome = await work(verb, queue, choice, options, parts, response)
    const outcomes = await outcome.outcomes
    if (outcomes) response.setHeader('Preference-Applied', `wait=${waitS}`)
    sendJson(response, 200, {
      queue,
      [verb === 'redrive' ? 'redriven' : 'discarded']: dryRun ? 0 : outcome.done,
      ...(dryRun ? { wouldBe: outcome.done } : {}),
      left: outcome.left,
      reasons: Object.fromEntries(outcome.reasons),
      ...(outcomes ? { outcomes: shownOutcomes(outcomes) } : {}),
      // If false, some of the selection is left, and the client has to repeat the request.
      complete: outcome.stopped === undefined,
      ...(typeof outcome.stopped === 'string' ? { stopped: outcome.stopped === 'limit' ? 'limit' : 'time' } : {}),
    })
  }
}

/** Handles DELETE: discards all dead letters with this id. */
export function discardOneRoute(parts: RouteParts): RequestHandler {
  return async (request, response) => {
    const choice: Choice = { by: 'id', ids: new Set([idOf(request)]) }
    const queue = queueOf(request)
    const options = { dryRun: false, max: MAX }
    const outcome = await work('discard', queue, choice, options, parts, response)
    if (outcome.done === 0 && outcome.stopped === undefined) throw unknown()
    sendJson(response, 200, {
      queue,
      discarded: outcome.done,
      left: outcome.left,
      complete: outcome.stopped === undefined,
    })
  }
}

/** Redrives or discards for a limited time. If the operation stops early with an error, the error contains the counts so far. */
async function work(
  verb: 'redrive' | 'discard',
  queue: string,
  choice: Choice,
  options: RedriveOptions & { readonly dryRun: boolean },
  { desk, service }: RouteParts,
  response: Response,
): Promise<Worked> {
  const signal = AbortSignal.any([AbortSignal.timeout(ANSWER_WITHIN_MS), service.stopping])
  const outcome = await desk[verb](queue, choice, { ...options, signal })
  const { done, left, stopped, maybeSent, ids } = outcome
  const requestId = response.getHeader('X-Request-Id')
  const client = clientOf(response)?.name
  const fields = { requestId, client, queue, verb, by: choice.by, dryRun: options.dryRun, done, left, ...ids }
  if (!(stopped instanceof DeadLettersUnavailable)) {
    service.log.info(fields, 'operation on dead letters finished')
    return outcome
  }
  service.log.warn({ ...fields, maybeSent, reason: stopped.message }, 'operation on dead letters stopped early')
  const outcomes = await outcome.outcomes
  const counts = { done, left, maybeSent, ...(outcomes ? { outcomes: shownOutcomes(outcomes) } : {}) }
  throw troubleAsProblem(stopped, options.dryRun ? {} : counts)
}

const shownOutcomes = ({ applied, refused, unknown }: Outcomes): object => ({
  applied,
  refused: Object.fromEntries(refused),
  unknown,
})
