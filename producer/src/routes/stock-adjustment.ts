// POST /stock_adjustment: sends a change of quantity to consumer three.
import type { ServerResponse } from 'node:http'
import { type Origin, originHeaders, stockAdjustment } from '@ims/messaging'
import { z } from 'zod'
import { sendJson } from '../http/answer.ts'
import { clientOf } from '../http/authorisation.ts'
import { Problem } from '../http/problem.ts'
import type { Handler } from '../http/step.ts'
import { type CommandDependencies, commandRoute } from './command-route.ts'

/** Refusals with their own problem type. */
const refusals = z.enum(['unknown-sku', 'insufficient-stock', 'quantity-too-large', 'no-quantity'])

export const stockAdjustmentRoute = (dependencies: CommandDependencies): Handler =>
  commandRoute(dependencies, {
    command: stockAdjustment,
    sent: 'Stock adjustment message sent',
    propertiesOf: (response) => ({ headers: originHeaders(originOf(response)) }),
    applied: (response, { sku }, { quantity }) => sendJson(response, 201, { message: 'Stock adjusted', sku, quantity }),
    refusal: ({ sku }, reason, error) => {
      const detail = `The stock was not changed: ${error}.`
      const { data: kind } = refusals.safeParse(reason)
      if (kind === undefined) return new Problem(422, 'refused', detail, { reason })
      return new Problem(kind === 'unknown-sku' ? 404 : 409, kind, detail, { sku })
    },
  })

const originOf = (response: ServerResponse): Origin => ({
  by: clientOf(response)?.name,
  requestId: String(response.getHeader('X-Request-Id')),
})
