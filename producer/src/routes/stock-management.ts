// POST /stock_management: sends the deletion of an item to consumer three.
import { stockManagement } from '@ims/messaging'
import { sendJson } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import type { Handler } from '../http/step.ts'
import { type CommandDependencies, commandRoute } from './command-route.ts'

export const stockManagementRoute = (dependencies: CommandDependencies): Handler =>
  commandRoute(dependencies, {
    command: stockManagement,
    sent: 'Stock management (item delete) message sent',
    applied: (response, { sku }, { outcome }) => {
      if (outcome === 'unknown-sku') throw new Problem(404, 'unknown-sku', noItem(sku), { sku })
      sendJson(response, 200, { message: 'Item deleted', sku })
    },
    refusal: (_, reason, error) => new Problem(422, 'refused', `Nothing was deleted: ${error}`, { reason }),
  })

/** The sku is quoted to make white space and control characters visible. */
const noItem = (sku: string | null): string =>
  `Nothing was deleted: there is no item ${sku === null ? 'without a sku' : `with sku ${JSON.stringify(sku)}`}.`
