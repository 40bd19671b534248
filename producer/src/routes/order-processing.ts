// GET /order_processing: lists the inventory, streamed page by page, or one page of it.
import type { IncomingMessage } from 'node:http'
import { LAST_PAGE, OutcomeUnknown, PAGE_MAX_ITEMS } from '@ims/messaging'
import type { Dependencies } from '../dependencies.ts'
import { requestIdFor, whenLeft } from '../http/answer.ts'
import type { Limits } from '../http/limits.ts'
import { Problem } from '../http/problem.ts'
import type { Handler } from '../http/step.ts'
import { nextPageUrl, wantedBy } from '../listing/listing-query.ts'
import { askForPage, type Page, type PageRequest } from '../listing/pages.ts'
import { overLimit, PagesInFlight } from '../listing/pages-in-flight.ts'
import { shareNext } from '../listing/share-next.ts'
import { streamPages } from '../listing/stream-pages.ts'

/** Lists with at most this many items use a separate part of the memory for pages, so that large pages of other clients do not delay them. */
const FEW_ITEMS = 100
const PART_FOR_FEW = 1 / 8

export function orderProcessingRoute({
  broker,
  config,
  limits,
}: Pick<Dependencies, 'broker' | 'config'> & { limits: Limits }): Handler {
  const few = new PagesInFlight(limits.pagesMaxBytes * PART_FOR_FEW)
  const many = new PagesInFlight(limits.pagesMaxBytes * (1 - PART_FOR_FEW))
  const pagesOf = (items: number) => (items <= FEW_ITEMS ? few : many)
  const askOnce = shareNext(
    (wanted: PageRequest, left) =>
      pagesOf(itemsMax(wanted)).ask({ items: itemsMax(wanted), deadlineMs: wanted.deadlineMs, left }, (deadlineMs) =>
        askForPage(broker.requester, { ...wanted, deadlineMs }, left),
      ),
    ({ after, limit, pageItems, sku, label, quantityBelow, q }) =>
      JSON.stringify([after, limit, pageItems, sku, label, quantityBelow, q]),
  )
  return async (request: IncomingMessage & { readonly query?: unknown }, response) => {
    // Requests with a query do not take the short cut, so Express has parsed it.
    const wanted = wantedBy(request.query ?? {})
    const pageItems = wanted.limit ?? config.listPageItems
    const items = itemsMax({ ...wanted, pageItems })
    const pages = pagesOf(items)
    const requestId = requestIdFor(response)
    const left = whenLeft(response)
    const held = new Map<Page, PagesInFlight>()
    const taken = (page: Page) => {
      held.get(page)?.drop(page)
      held.delete(page)
    }
    const ask = async (after: number, growth: number): Promise<Page> => {
      const grown = Math.max(pageItems, Math.min(pageItems * growth, PAGE_MAX_ITEMS, many.itemsFitting))
      const question = { ...wanted, after, pageItems: grown, deadlineMs: config.rpcTimeoutMs, requestId }
      const page = await askOnce(question, left)
      if (response.closed) return page
      // A later page can be larger than the first, so it may belong to `many`.
      const holder = pagesOf(itemsMax(question))
      held.set(page, holder)
      holder.hold(page)
      return page
    }
    if (!pages.hasRoomFor(items)) throw overLimit()
    response.once('close', () => [...held.keys()].forEach(taken))
    // The first page is requested before any header is sent, so that the status can still report a failure.
    const first = await ask(wanted.after, 1).catch(nothingChanged)
    response.setHeader('Content-Type', 'application/json')
    if (wanted.limit === undefined && first.next !== LAST_PAGE) return await streamPages(response, first, ask, taken)
    if (first.next !== LAST_PAGE)
      response.setHeader('Link', `<${nextPageUrl(request.url ?? '/', first.next)}>; rel="next"`)
    response.setHeader('Content-Length', first.json.length)
    response.end(first.json)
  }
}

/** At most one item has a given sku. */
const itemsMax = ({ sku, pageItems }: Pick<PageRequest, 'sku' | 'pageItems'>) => (sku === undefined ? pageItems : 1)

/** A query changes nothing, so it is safe to repeat even if the broker may have stored it. */
function nothingChanged(error: unknown): never {
  if (!(error instanceof OutcomeUnknown)) throw error
  const detail =
    'The list was not received: the message broker did not confirm the query in time, the connection to it was lost, or this server is shutting down. Sending the request again is safe.'
  throw new Problem(503, 'outcome-unknown', detail, { headers: { 'Retry-After': '2' } })
}
