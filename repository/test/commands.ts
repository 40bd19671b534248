// Commands as the consumers hand them over, with whatever a test does not care about filled in.
import type { Command, NewItem } from '../src/contract.ts'

type Extra = Partial<Pick<Command<unknown>, 'messageId' | 'fingerprint' | 'redelivered'>>

/** A command to create an item; without `messageId` it comes from a Python peer. */
export function creation(body: Partial<NewItem>, extra: Extra = {}): Command<NewItem> {
  const item = { sku: 'k1', name: 'Apple Juice', label: 'juice', price: 25, quantity: 50, ...body }
  return {
    messageId: undefined,
    fingerprint: JSON.stringify(item).slice(0, 64),
    redelivered: false,
    body: item,
    ...extra,
  }
}

/** A command to delete the item with this sku. */
export function deletion(sku: string, extra: Extra = {}): Command<{ sku: string }> {
  return { messageId: undefined, fingerprint: sku, redelivered: false, body: { sku }, ...extra }
}
