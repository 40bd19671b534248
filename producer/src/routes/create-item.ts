// POST /create_item: sends an item to consumer two, which stores it; with `Prefer: wait` also says what came of it.
import { createItem } from '@ims/messaging'
import { nameMessage, sendJson, whenLeft } from '../answer.ts'
import type { Dependencies } from '../dependencies.ts'
import type { TakeWait } from '../in-hand.ts'
import { preferredWaitS } from '../prefer.ts'
import { Problem } from '../problem.ts'
import { readBody } from '../request-body.ts'
import type { Handler } from '../step.ts'

const SENT = { message: 'Create item message sent' }

export function createItemRoute({
  broker,
  config,
  takeWait,
}: Pick<Dependencies, 'broker' | 'config'> & { takeWait: TakeWait }): Handler {
  return async (request, response) => {
    const item = await readBody({ request, response }, createItem.body, config.bodyMostBytes)
    const preferredS = preferredWaitS(request.headers.prefer, config.preferWaitMostS)
    // A preference may be ignored, so too many waits are no reason to refuse a command.
    const waitS = preferredS && !takeWait(request, response) ? 0 : preferredS
    if (waitS === undefined) {
      const { messageId } = await broker.publisher.publish(createItem, item)
      nameMessage(response, messageId)
      return sendJson(response, 200, SENT)
    }
    const { messageId, reply } = await broker.requester.command(createItem, item, {
      deadlineMs: waitS * 1_000,
      signal: whenLeft(response),
    })
    nameMessage(response, messageId)
    response.setHeader('Preference-Applied', `wait=${waitS}`)
    if (reply.kind === 'no-reply') return sendJson(response, 202, SENT)
    if (reply.kind === 'refused') throw refusal(reply.reason, item.sku, reply.error)
    sendJson(response, 201, item, { Location: `/order_processing?sku=${encodeURIComponent(item.sku)}` })
  }
}

const refusal = (reason: string, sku: string, error: string): Problem =>
  reason === 'duplicate-sku'
    ? new Problem(409, 'duplicate-sku', `The item was not stored: sku ${JSON.stringify(sku)} exists already.`, { sku })
    : new Problem(422, 'refused', `The item was not stored: ${error}`, { reason })
