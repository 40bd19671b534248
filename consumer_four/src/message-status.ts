// Replies to message_status queries with the recorded outcomes of each message.
import { type Handler, messageQuestion } from '@ims/messaging'
import type { Inventory } from '@ims/repository'

/** Handles message_status: returns the inbox entries for each message id. One read serves the whole batch. */
export function reportStatus(inventory: Pick<Inventory, 'recorded'>): Handler<unknown, never> {
  return async (deliveries) => {
    const found = await inventory.recorded(deliveries.map(({ body }) => messageQuestion.parse(body).id))
    return found.map((recorded) => ({ kind: 'answered', body: Buffer.from(JSON.stringify(recorded)), headers: {} }))
  }
}
