// Answers message_status queries, all that wait together, with the recorded outcomes of each message.
import { type Handler, messageQuestion } from '@ims/messaging'
import type { Inventory } from '@ims/repository'

/** Handles message_status: returns the inbox entries for each message id, read at once. */
export function tellStatus(inventory: Pick<Inventory, 'recorded'>): Handler<unknown, never> {
  return async (deliveries) => {
    const answers = await inventory.recorded(deliveries.map(({ body }) => messageQuestion.parse(body).id))
    return answers.map((answer) => ({ kind: 'answered', body: Buffer.from(JSON.stringify(answer)), headers: {} }))
  }
}
