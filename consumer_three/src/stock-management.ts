// Deletes the items of a batch by sku, and reports whether each item existed. Applies each message only once.
import type { Handler, Outcome } from '@ims/messaging'
import type { DeleteOutcome, Inventory } from '@ims/repository'

type Result = { outcome: 'deleted' | 'unknown-sku' }

/** Handles stock_management by deleting items. An unknown sku is not an error, because the item is already gone. */
export function deleteItems(inventory: Pick<Inventory, 'delete'>): Handler<{ sku: string | null }, Result> {
  return async (deliveries) => (await inventory.delete(deliveries)).map(toOutcome)
}

function toOutcome(deleted: DeleteOutcome): Outcome<Result> {
  switch (deleted.kind) {
    case 'deleted':
    case 'unknown-sku':
      return { kind: 'applied', result: { outcome: deleted.kind }, repeated: deleted.repeated }
    default:
      return { kind: 'refused', reason: deleted.kind, error: deleted.error }
  }
}
