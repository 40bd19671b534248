// POST /stock_adjustment: sends a change of quantity to consumer three.
import { stockAdjustment } from '@ims/messaging'
import { z } from 'zod'
import { sendJson } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import type { Handler } from '../http/step.ts'
import { type CommandDependencies, commandRoute } from './command-route.ts'

/** The reasons that are also problem types. */
const refusals = z.enum(['unknown-sku', 'insufficient-stock', 'quantity-too-large', 'no-quantity'])

export const stockAdjustmentRoute = (dependencies: CommandDependencies): Handler =>
  commandRoute(dependencies, {
    command: stockAdjustment,
    sent: 'Stock adjustment message sent',
    tellsClient: true,
    applied: (response, { sku }, { quantity }) => sendJson(response, 201, { message: 'Stock adjusted', sku, quantity }),
    refusal: ({ sku }, reason, error) => {
      const detail = `The stock was not changed: ${error}.`
      const { data: kind } = refusals.safeParse(reason)
      if (kind === undefined) return new Problem(422, 'refused', detail, { reason })
      return new Problem(kind === 'unknown-sku' ? 404 : 409, kind, detail, { sku })
    },
  })
