// Creates commands as the consumers pass them, with defaults for the members that a test does not set.
import { hash, randomUUID } from 'node:crypto'
import type { Adjustment, Command, NewItem } from '../src/contract.ts'

type Extra = Partial<Pick<Command<unknown>, 'messageId' | 'fingerprint' | 'redelivered' | 'redrives'>>

/** A command to create an item. Without `messageId` it comes from a Python peer. */
export function creation(body: Partial<NewItem>, extra: Extra = {}): Command<NewItem> {
  const item = { sku: 'k1', name: 'Apple Juice', label: 'juice', price: 25, quantity: 50, ...body }
  return {
    messageId: undefined,
    fingerprint: fingerprintOf(item),
    redelivered: false,
    redrives: 0,
    body: item,
    ...extra,
  }
}

/** A command to delete the item with this sku. */
export function deletion(sku: string, extra: Extra = {}): Command<{ sku: string }> {
  return {
    messageId: undefined,
    fingerprint: fingerprintOf(sku),
    redelivered: false,
    redrives: 0,
    body: { sku },
    ...extra,
  }
}

/** A command to change the quantity of an item, by default `k1`. */
export function adjustment(body: Partial<Adjustment>, extra: Extra = {}): Command<Adjustment> {
  const wanted = { sku: 'k1', change: -1, reason: 'sold', ...body }
  return {
    messageId: randomUUID(),
    fingerprint: fingerprintOf(wanted),
    redelivered: false,
    redrives: 0,
    body: wanted,
    ...extra,
  }
}

/** The fingerprint of a body, computed as in messaging. */
const fingerprintOf = (body: unknown): string => hash('sha256', JSON.stringify(body), 'hex').slice(0, 32)
