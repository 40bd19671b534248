// POST /create_item: sends an item to consumer two, which stores the item.
import { createItem } from '@ims/messaging'
import { sendJson } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import type { Handler } from '../http/step.ts'
import { type CommandDependencies, commandRoute } from './command-route.ts'

export const createItemRoute = (dependencies: CommandDependencies): Handler =>
  commandRoute(dependencies, {
    command: createItem,
    sent: 'Create item message sent',
    applied: (response, item) =>
      sendJson(response, 201, item, { Location: `/order_processing?sku=${encodeURIComponent(item.sku)}` }),
    refusal: ({ sku }, reason, error) =>
      reason === 'duplicate-sku'
        ? new Problem(409, 'duplicate-sku', `The item was not stored: sku ${JSON.stringify(sku)} exists already.`, {
            sku,
          })
        : new Problem(422, 'refused', `The item was not stored: ${error}`, { reason }),
  })
