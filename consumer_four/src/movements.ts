// Replies to each movements query with one page.
import { type Handler, type Outcome, PAGE_MAX_ITEMS, pageRequestHeaders } from '@ims/messaging'
import type { Inventory } from '@ims/repository'

/** Handles movements: returns a page of the changes of stock, for one sku if the header `x-sku` is set. */
export function listMovements(inventory: Pick<Inventory, 'movements'>): Handler<unknown, never> {
  return async (deliveries) => await Promise.all(deliveries.map(({ headers }) => page(inventory, headers)))
}

async function page(
  inventory: Pick<Inventory, 'movements'>,
  headers: Readonly<Record<string, unknown>>,
): Promise<Outcome<never>> {
  const { data, error } = pageRequestHeaders.safeParse(headers)
  if (error) {
    const problems = error.issues.map(({ path, message }) => `header ${path.join('.')}: ${message}`)
    return { kind: 'refused', reason: 'invalid', error: problems.join('; ') }
  }
  const { 'x-after': after = 0, 'x-limit': limit = PAGE_MAX_ITEMS, 'x-sku': sku } = data
  const { movements, next } = await inventory.movements({ after, limit, ...(sku === undefined ? {} : { sku }) })
  return { kind: 'answered', body: Buffer.from(JSON.stringify(movements)), headers: { 'x-next': next } }
}
