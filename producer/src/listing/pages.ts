// Requests pages of the inventory from consumer four. If a Python peer replies with the whole list, cuts a page out of it.
import { isUtf8 } from 'node:buffer'
import {
  BadReply,
  type Broker,
  containsText,
  LAST_PAGE,
  type ListedItem,
  listedItem,
  orderProcessing,
  originHeaders,
  pageReplyHeaders,
  type Query,
} from '@ims/messaging'
import { z } from 'zod'
import type { Wanted } from './listing-query.ts'

/** A page: its items as a JSON array for the client, their number, and the id after which the next page starts (0: none). */
export interface Page {
  readonly json: Buffer
  readonly count: number
  readonly next: number
}

const BODY = ['message', 'Order Processing']

/** A Python peer adds the id of each item. Our own consumer four does not. */
const rows = z.array(listedItem.extend({ id: z.int().optional() }))
const rowsWithId = z.array(listedItem.extend({ id: z.int() }))
const listing: Query<z.infer<typeof rows>> = { ...orderProcessing, reply: rows }

export interface PageRequest extends Wanted {
  /** Items per page. The list of a Python peer is cut only if `limit` is given. */
  readonly pageItems: number
  readonly deadlineMs: number
  /** The id of the HTTP request. If several requests share the page, the id of the first one. */
  readonly requestId?: string | undefined
}

/**
 * Requests the page after the id `wanted.after`.
 * @throws NotAccepted, OutcomeUnknown, NoReply, BadReply (also if the header x-next does not increase)
 */
export async function askForPage(
  requester: Broker['requester'],
  wanted: PageRequest,
  signal: AbortSignal,
): Promise<Page> {
  const { sku, label, quantityBelow, q, after, pageItems, deadlineMs, requestId } = wanted
  const headers = {
    ...originHeaders({ requestId }),
    'x-after': after,
    'x-limit': pageItems,
    ...(sku === undefined ? {} : { 'x-sku': sku }),
    ...(label === undefined ? {} : { 'x-label': label }),
    ...(quantityBelow === undefined ? {} : { 'x-quantity-below': quantityBelow }),
    ...(q === undefined ? {} : { 'x-q': q }),
  }
  const reply = await requester.request(listing, BODY, { deadlineMs, headers, signal })
  const read = pageReplyHeaders.safeParse(reply.headers)
  if (!read.success) throw new BadReply('the header x-next or x-count of the reply is not a whole number')
  const { 'x-next': next, 'x-count': count, 'x-q': searched } = read.data
  if (next === undefined) return pageOfWholeList(reply.body(), wanted)
  if (next !== LAST_PAGE && next <= after)
    throw new BadReply(`the page after ${after} has ${next} as x-next, which is not larger`)
  const isSearched = q === undefined || searched === q
  if (quantityBelow !== undefined || !isSearched) {
    // Consumer four of an earlier version ignores these filters, so the filtered page may be short or empty.
    const rest = reply
      .body()
      .filter((row) => quantityBelow === undefined || isFewer(row, quantityBelow))
      .filter((row) => isSearched || contains(row, q))
    return { json: jsonOf(rest), count: rest.length, next }
  }
  if (count === undefined) return { json: reply.raw, count: reply.body().length, next }
  if (itemsIn(reply.raw) !== count) throw new BadReply(`the reply is not a page of ${count} items`)
  return { json: reply.raw, count, next }
}

/**
 * The number of items on a page from our own consumer four. Undefined if it is not a page. Counting costs a fraction of
 * parsing. Quotation marks within a text are escaped, so `{"sku":` is always the start of an item.
 */
function itemsIn(json: Buffer): number | undefined {
  const text = json.toString('latin1')
  if (!text.startsWith('[') || !text.endsWith(']') || !isUtf8(json)) return undefined
  let items = 0
  for (let at = text.indexOf(FIRST_MEMBER); at >= 0; at = text.indexOf(FIRST_MEMBER, at + 1)) items += 1
  return items
}

const FIRST_MEMBER = '{"sku":'

/** Cuts a page out of a Python peer's reply. The peer ignores the headers and sends all items, with ids and in any order. */
function pageOfWholeList(body: unknown, { sku, label, quantityBelow, q, after, limit }: PageRequest): Page {
  const { data, error } = rowsWithId.safeParse(body)
  if (error) throw new BadReply('the reply is a whole list, but its items have no id')
  const wanted = data
    .filter((row) => row.id > after)
    .filter((row) => (sku === undefined || row.sku === sku) && (label === undefined || row.label === label))
    .filter((row) => quantityBelow === undefined || isFewer(row, quantityBelow))
    .filter((row) => q === undefined || contains(row, q))
    .sort((one, other) => one.id - other.id)
  const shown = wanted.slice(0, limit)
  const next = shown.length < wanted.length ? shown.at(-1)?.id : undefined
  return { json: jsonOf(shown), count: shown.length, next: next ?? LAST_PAGE }
}

/** As in SQL, a missing quantity is not below any number. */
const isFewer = ({ quantity }: ListedItem, below: number): boolean => quantity !== null && quantity < below

const contains = ({ sku, name, label }: ListedItem, q: string): boolean => containsText(q, [sku, name, label])

const jsonOf = (items: readonly ListedItem[]): Buffer =>
  Buffer.from(
    JSON.stringify(items.map(({ sku, name, label, price, quantity }) => ({ sku, name, label, price, quantity }))),
  )
