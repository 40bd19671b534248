// POST /stock_management: tells consumer three to delete an item; with `Prefer: wait` also says what came of it.
import { stockManagement } from '@ims/messaging'
import { nameMessage, sendJson, whenLeft } from '../answer.ts'
import type { Dependencies } from '../dependencies.ts'
import type { TakeWait } from '../in-hand.ts'
import { preferredWaitS } from '../prefer.ts'
import { Problem } from '../problem.ts'
import { readBody } from '../request-body.ts'
import type { Handler } from '../step.ts'

const SENT = { message: 'Stock management (item delete) message sent' }

export function stockManagementRoute({
  broker,
  config,
  takeWait,
}: Pick<Dependencies, 'broker' | 'config'> & { takeWait: TakeWait }): Handler {
  return async (request, response) => {
    const { sku } = await readBody({ request, response }, stockManagement.body, config.bodyMostBytes)
    const preferredS = preferredWaitS(request.headers.prefer, config.preferWaitMostS)
    // A preference may be ignored, so too many waits are no reason to refuse a command.
    const waitS = preferredS && !takeWait(request, response) ? 0 : preferredS
    if (waitS === undefined) {
      const { messageId } = await broker.publisher.publish(stockManagement, { sku })
      nameMessage(response, messageId)
      return sendJson(response, 200, SENT)
    }
    const { messageId, reply } = await broker.requester.command(
      stockManagement,
      { sku },
      {
        deadlineMs: waitS * 1_000,
        signal: whenLeft(response),
      },
    )
    nameMessage(response, messageId)
    response.setHeader('Preference-Applied', `wait=${waitS}`)
    if (reply.kind === 'no-reply') return sendJson(response, 202, SENT)
    if (reply.kind === 'refused')
      throw new Problem(422, 'refused', `Nothing was deleted: ${reply.error}`, { reason: reply.reason })
    if (reply.result.outcome === 'unknown-sku') throw new Problem(404, 'unknown-sku', noItem(sku), { sku })
    sendJson(response, 200, { message: 'Item deleted', sku })
  }
}

/** The sku is quoted to make white space and control characters visible. */
const noItem = (sku: string | null): string =>
  `Nothing was deleted: there is no item ${sku === null ? 'without a sku' : `with sku ${JSON.stringify(sku)}`}.`
