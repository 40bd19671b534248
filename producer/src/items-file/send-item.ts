// Sends one item until its outcome is known, always with the same `Idempotency-Key`, so that it is applied once.
import { type Item, listedItem } from '@ims/messaging'
import { z } from 'zod'
import { CODE, Stopped } from './exit-codes.ts'
import { type Asking, finalAnswer, jsonIn, problemIn } from './final-answer.ts'
import { contentOf, keyOf } from './row.ts'

/**
 * `before`: an earlier request or another client created the item, with the same content. `unknown`: there is no final
 * response, so the item may have been created.
 */
export type Outcome =
  | { readonly kind: 'created' }
  | { readonly kind: 'before' }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'unknown' }

export interface Sending extends Asking {
  readonly run: string
}

/** After this time the producer responds with 202. While the import waits, a refusal leaves no dead letter. */
const WAIT_S = 20

const listed = z.array(listedItem)

/** @throws Stopped when the API rejects the key, or is not the API of IMS */
export async function sendItem(item: Item, sending: Sending): Promise<Outcome> {
  const headers = {
    'Content-Type': 'application/json',
    Prefer: `wait=${WAIT_S}`,
    'Idempotency-Key': keyOf(item, sending.run),
  }
  const request = { method: 'POST', path: '/create_item', headers, body: JSON.stringify(item) } as const
  const answer = await finalAnswer(request, sending)
  if (answer === undefined) return { kind: 'unknown' }
  if (answer.status === 201) return { kind: answer.headers['idempotent-replayed'] === 'true' ? 'before' : 'created' }
  const { type, detail } = problemIn(answer)
  if (answer.status === 409 && type.endsWith(':duplicate-sku')) return await duplicateOf(item, sending)
  // A producer of the Python suite ignores `Prefer`. It only reports that the message was accepted.
  if (answer.status === 200) return { kind: 'unknown' }
  if ([400, 409, 413, 415, 422].includes(answer.status))
    return { kind: 'rejected', reason: detail || `the API refused it with status ${answer.status}` }
  throw new Stopped(
    CODE.unavailable,
    `${request.path} responded with status ${answer.status}: is API_URL the URL of the API?`,
  )
}

/** The outcome of a duplicate: the sku exists, or existed when the same command was refused earlier. */
async function duplicateOf(item: Item, sending: Sending): Promise<Outcome> {
  const path = `/order_processing?sku=${encodeURIComponent(item.sku)}`
  const answer = await finalAnswer({ method: 'GET', path }, sending)
  const items = answer?.status === 200 ? listed.safeParse(jsonIn(answer)).data : undefined
  if (items === undefined)
    return { kind: 'rejected', reason: 'sku: exists already; it could not be compared with the row' }
  const [found] = items
  if (found === undefined)
    return {
      kind: 'rejected',
      reason:
        'sku: refused earlier as a duplicate of an item that no longer exists. To create it, import again with --run and a new name',
    }
  if (JSON.stringify(Object.values(inOrder(found))) === contentOf(item)) return { kind: 'before' }
  return { kind: 'rejected', reason: 'sku: exists already, with other content' }
}

const inOrder = ({ sku, name, label, price, quantity }: z.output<typeof listedItem>) => ({
  sku,
  name,
  label,
  price,
  quantity,
})
