// What consumer four does with questions about a message: answers each with what was decided about it.
import { type Handler, messageQuestion } from '@ims/messaging'
import type { Inventory } from '@ims/repository'

/** Handles message_status: the verdicts on the messages with this id. */
export function tellStatus(inventory: Pick<Inventory, 'recorded'>): Handler<unknown, never> {
  return async (deliveries) =>
    await Promise.all(
      deliveries.map(async ({ body }) => ({
        kind: 'answered' as const,
        body: Buffer.from(JSON.stringify(await inventory.recorded(messageQuestion.parse(body).id))),
        headers: {},
      })),
    )
}
