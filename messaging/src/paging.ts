// The headers that request and describe a page of a listing. Request and reply are otherwise unchanged.
import { z } from 'zod'

/** Largest page that a requester may ask for, in items. */
export const PAGE_MAX_ITEMS = 5000

/**
 * Headers of a request for one page. `x-after`: the id after which the page begins (0: from the start); `x-limit`: its
 * size in items; `x-sku` and `x-label`: only items equal in that column, byte for byte; `x-quantity-below`: only items with
 * a smaller quantity; `x-q`: only items with this text in their sku, name or label, in any case. A request without
 * `x-limit` comes from a Python peer and wants the whole list.
 */
export const pageRequestHeaders = z.object({
  'x-after': z.int().min(0).optional(),
  'x-limit': z.int().min(1).max(PAGE_MAX_ITEMS).optional(),
  'x-sku': z.string().optional(),
  'x-label': z.string().optional(),
  'x-quantity-below': z.int().min(0).optional(),
  'x-q': z.string().optional(),
})
export type PageRequestHeaders = z.infer<typeof pageRequestHeaders>

/** Value of `x-next` on the last page. */
export const LAST_PAGE = 0

/**
 * Headers of a reply: `x-next` is the `x-after` of the following page, or 0 on the last. Without it: a Python peer's
 * whole list. `x-count` is the number of items on the page, which then already has the format for the client: compact,
 * and with the members of `listedItem`. Consumer four of an earlier version sends none. `x-q` repeats the text that was
 * searched for: without it the request's `x-q` was ignored.
 */
export const pageReplyHeaders = z.object({
  'x-next': z.int().min(0).optional(),
  'x-count': z.int().min(0).optional(),
  'x-q': z.string().optional(),
})

/**
 * Whether one of the texts contains `q`, in any case and with or without accents: nearly the comparison of consumer
 * four's database, for peers that do not search.
 */
export function containsText(q: string, texts: readonly (string | null)[]): boolean {
  const sought = folded(q)
  return texts.some((text) => text !== null && folded(text).includes(sought))
}

const folded = (text: string): string => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
