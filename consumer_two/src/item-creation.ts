// Stores the items of a batch, and reports the outcome of each. Applies each message only once.
import type { Handler, Item, Outcome } from '@ims/messaging'
import type { CreateOutcome, Inventory } from '@ims/repository'

type Result = { readonly outcome: 'created' }
const CREATED: Result = { outcome: 'created' }

/** Handles create_item by storing the items. Refuses an item whose sku is taken, or that the database cannot store. */
export function storeItems(inventory: Pick<Inventory, 'create'>): Handler<Item, Result> {
  return async (deliveries) => (await inventory.create(deliveries)).map(toOutcome)
}

function toOutcome(created: CreateOutcome): Outcome<Result> {
  if (created.kind === 'created') return { kind: 'applied', result: CREATED, repeated: created.repeated }
  return { kind: 'refused', reason: created.kind, error: created.error }
}
