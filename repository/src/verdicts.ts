// How a message is judged against what is stored already, in MySQL and in memory alike.
import type { NewItem } from './contract.ts'

/** Whether two items are the same in every member; money to four decimals, as the table holds it. */
export const sameContent = (a: NewItem, b: NewItem): boolean =>
  a.sku === b.sku &&
  a.name === b.name &&
  a.label === b.label &&
  a.price.toFixed(4) === b.price.toFixed(4) &&
  a.quantity === b.quantity

/** The sentence for an item whose sku is taken. */
export const duplicate = (sku: string): string => `an item with sku ${JSON.stringify(sku)} is stored already`

/** The sentence for a message id that comes back with another body. */
export const reused = (messageId: string): string =>
  `message id ${messageId} was used before for a message with another body`
