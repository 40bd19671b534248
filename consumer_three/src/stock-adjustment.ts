// Applies the changes of stock in a batch, and returns the new quantities. Applies each message only once.
import { type Handler, type Outcome, originOf, type StockAdjustment } from '@ims/messaging'
import type { AdjustOutcome, Inventory } from '@ims/repository'

type Result = { outcome: 'adjusted'; quantity: number }

/** Handles stock_adjustment by adding to quantities. Refuses an unknown sku, and a change that makes a quantity negative or too large. */
export function adjustItems(inventory: Pick<Inventory, 'adjust'>): Handler<StockAdjustment, Result> {
  return async (deliveries) => {
    const commands = deliveries.map((delivery) => ({
      ...delivery,
      body: { ...delivery.body, ...originOf(delivery.headers) },
    }))
    return (await inventory.adjust(commands)).map(toOutcome)
  }
}

function toOutcome(adjusted: AdjustOutcome): Outcome<Result> {
  if (adjusted.kind !== 'adjusted') return { kind: 'refused', reason: adjusted.kind, error: adjusted.error }
  const { kind: outcome, quantity, repeated } = adjusted
  return { kind: 'applied', result: { outcome, quantity }, repeated }
}
