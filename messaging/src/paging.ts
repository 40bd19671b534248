// The headers that request and describe a page of a listing. Request and reply are otherwise unchanged.
import { z } from 'zod'

/** The maximum page size, in items. */
export const PAGE_MAX_ITEMS = 5000

/**
 * Headers of a request for one page. `x-after`: the id after which the page begins (0: from the start); `x-limit`: its
 * size in items; `x-sku` and `x-label`: only items with exactly this value in that column, byte for byte;
 * `x-quantity-below`: only items with a smaller quantity; `x-q`: only items with this text in their sku, name or label,
 * ignoring case. A request without `x-limit` comes from a Python peer and requests the whole list.
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
 * Headers of a reply: `x-next` is the `x-after` of the next page, or 0 on the last page. A reply without it has the whole
 * list. `x-count` is the number of items on the page. If it is set, the body already has the client's format:
 * compact, with the members of `listedItem`. Earlier versions of consumer four do not set it. `x-q` repeats the search
 * text. A reply without it ignored the request's `x-q`.
 */
export const pageReplyHeaders = z.object({
  'x-next': z.int().min(0).optional(),
  'x-count': z.int().min(0).optional(),
  'x-q': z.string().optional(),
})

/**
 * Whether one of the texts contains `q`, ignoring case and accents. Used for the replies of peers that ignore `x-q`. The
 * comparison is nearly the same as in the database.
 */
export function containsText(q: string, texts: readonly (string | null)[]): boolean {
  const sought = folded(q)
  return texts.some((text) => text !== null && folded(text).includes(sought))
}

const folded = (text: string): string => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()
