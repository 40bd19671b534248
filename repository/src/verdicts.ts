// How a message is judged against what is stored already, in MySQL and in memory alike.
import type { NewItem, StockItem } from './contract.ts'

/** An item that is stored; the Python suite's may lack anything but its sku. */
export type StoredItem = StockItem & { readonly sku: string }

/** Whether what is stored is this item in every member; money to four decimals, as the table holds it. */
export const sameContent = (stored: StoredItem, item: NewItem): boolean =>
  stored.sku === item.sku &&
  stored.name === item.name &&
  stored.label === item.label &&
  stored.price?.toFixed(4) === item.price.toFixed(4) &&
  stored.quantity === item.quantity

/** The sentence for an item whose sku is taken. */
export const duplicate = (sku: string): string => `an item with sku ${JSON.stringify(sku)} is stored already`

/** The sentence for a message id that comes back with another body. */
export const reused = (messageId: string): string =>
  `message id ${messageId} was used before for a message with another body`
