// POST /stock_adjustment: tells consumer three to change a quantity; with `Prefer: wait` also says what it is then.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Origin, originHeaders, stockAdjustment } from '@ims/messaging'
import { z } from 'zod'
import { nameMessage, sendJson, whenLeft } from '../answer.ts'
import { clientOf } from '../authorisation.ts'
import type { Dependencies } from '../dependencies.ts'
import type { TakeWait } from '../in-hand.ts'
import { preferredWaitS } from '../prefer.ts'
import { Problem } from '../problem.ts'
import { readBody } from '../request-body.ts'
import type { Handler } from '../step.ts'

const SENT = { message: 'Stock adjustment message sent' }
/** Refusals that have a problem type of their own. */
const refusals = z.enum(['unknown-sku', 'insufficient-stock', 'quantity-too-large', 'no-quantity'])

export function stockAdjustmentRoute({
  broker,
  config,
  takeWait,
}: Pick<Dependencies, 'broker' | 'config'> & { takeWait: TakeWait }): Handler {
  return async (request, response) => {
    const { sku, change, reason } = await readBody({ request, response }, stockAdjustment.body, config.bodyMostBytes)
    const waitS = waitOf(request, response)
    const headers = originHeaders(originOf(response))
    if (waitS === undefined) {
      const { messageId } = await broker.publisher.publish(stockAdjustment, { sku, change, reason }, { headers })
      nameMessage(response, messageId)
      return sendJson(response, 200, SENT)
    }
    const { messageId, reply } = await broker.requester.command(
      stockAdjustment,
      { sku, change, reason },
      { deadlineMs: waitS * 1_000, headers, signal: whenLeft(response) },
    )
    nameMessage(response, messageId)
    response.setHeader('Preference-Applied', `wait=${waitS}`)
    if (reply.kind === 'no-reply') return sendJson(response, 202, SENT)
    if (reply.kind === 'refused') throw refusal(reply.reason, sku, reply.error)
    sendJson(response, 201, { message: 'Stock adjusted', sku, quantity: reply.result.quantity })
  }

  function waitOf(request: IncomingMessage, response: ServerResponse): number | undefined {
    const preferredS = preferredWaitS(request.headers.prefer, config.preferWaitMostS)
    // A preference may be ignored, so too many waits are no reason to refuse a command.
    return preferredS && !takeWait(request, response) ? 0 : preferredS
  }
}

const originOf = (response: ServerResponse): Origin => ({
  by: clientOf(response)?.name,
  requestId: String(response.getHeader('X-Request-Id')),
})

function refusal(reason: string, sku: string, error: string): Problem {
  const detail = `The stock was not changed: ${error}.`
  const { data: kind } = refusals.safeParse(reason)
  if (kind === undefined) return new Problem(422, 'refused', detail, { reason })
  return new Problem(kind === 'unknown-sku' ? 404 : 409, kind, detail, { sku })
}
