// Answers each message_status query with the recorded outcomes of the message.
import { type Handler, messageQuestion } from '@ims/messaging'
import type { Inventory } from '@ims/repository'

/** Handles message_status: returns the inbox entries for this message id. */
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
