// Decides outcomes from stored data. The MySQL inventory and the in-memory one share this.
import type { Adjustment, AdjustOutcome, Movement, NewItem, StockItem } from './contract.ts'

/** A stored item. One from the Python suite may have NULL in any column except sku. */
export type StoredItem = StockItem & { readonly sku: string }

/** Whether the stored item equals `item` in every member. Prices are compared to four decimals, as they are stored. */
export const sameContent = (stored: StoredItem, item: NewItem): boolean =>
  stored.sku === item.sku &&
  stored.name === item.name &&
  stored.label === item.label &&
  stored.price?.toFixed(4) === item.price.toFixed(4) &&
  stored.quantity === item.quantity

/** The message for an item whose sku is taken. */
export const duplicate = (sku: string): string => `an item with sku ${JSON.stringify(sku)} is stored already`

/** The message for a message id that is reused with another body. */
export const reused = (messageId: string): string =>
  `message id ${messageId} was used before for a message with another body`

/** The maximum of the column `quantity`. */
const QUANTITY_MAX = 2_147_483_647

export interface Quantity {
  /** Null where the Python suite stored NULL. */
  quantity: number | null
}

/** The outcome of a change of an item. `item` is undefined when the item does not exist. */
export function adjusted(item: Quantity | undefined, { sku, change }: Adjustment): AdjustOutcome {
  const named = `sku ${JSON.stringify(sku)}`
  if (item === undefined) return { kind: 'unknown-sku', error: `there is no item with ${named}` }
  if (item.quantity === null) return { kind: 'no-quantity', error: `the item with ${named} has no quantity` }
  const quantity = item.quantity + change
  if (quantity < 0)
    return {
      kind: 'insufficient-stock',
      error: `the change is ${change}, but the quantity of ${named} is ${item.quantity}`,
    }
  if (quantity > QUANTITY_MAX)
    return {
      kind: 'quantity-too-large',
      error: `the quantity of ${named} would be ${quantity}, and the maximum is ${QUANTITY_MAX}`,
    }
  return { kind: 'adjusted', quantity, repeated: false }
}

/** An applied change. */
export type Applied = Pick<Movement, 'sku' | 'change' | 'reason' | 'quantityAfter'>

/** The outcome for a message id whose change was already applied. Its inbox entry may have been deleted, but the movement remains. */
export function reportedAgain(messageId: string, { sku, change, reason }: Adjustment, applied: Applied): AdjustOutcome {
  if (applied.sku !== sku || applied.change !== change || applied.reason !== reason)
    return { kind: 'message-id-reused', error: reused(messageId) }
  return { kind: 'adjusted', quantity: applied.quantityAfter, repeated: true }
}

/** The message for a change of stock without a message id. */
export const withoutId =
  'a change of stock needs a message id: without one, a redelivery cannot be distinguished from a new change'
