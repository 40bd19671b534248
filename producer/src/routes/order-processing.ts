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

/** A list with at most this many items has reserved memory, so that other clients' large pages do not delay it. */
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
    // Express has parsed it if there is one.
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
      // A later page can be so much larger that it counts among the large ones.
      const holder = pagesOf(itemsMax(question))
      held.set(page, holder)
      holder.hold(page)
      return page
    }
    if (!pages.hasRoomFor(items)) throw overLimit()
    response.once('close', () => [...held.keys()].forEach(taken))
    // Before any header is sent, so that a failure can still be reported by the status.
    const first = await ask(wanted.after, 1).catch(nothingChanged)
    response.setHeader('Content-Type', 'application/json')
    if (wanted.limit === undefined && first.next !== LAST_PAGE) return await streamPages(response, first, ask, taken)
    if (first.next !== LAST_PAGE)
      response.setHeader('Link', `<${nextPageUrl(request.url ?? '/', first.next)}>; rel="next"`)
    response.setHeader('Content-Length', first.json.length)
    response.end(first.json)
  }
}

/** A sku has at most one item. */
const itemsMax = ({ sku, pageItems }: Pick<PageRequest, 'sku' | 'pageItems'>) => (sku === undefined ? pageItems : 1)

/** It does not matter whether a query arrived: it changes nothing, and can be repeated. */
function nothingChanged(error: unknown): never {
  if (!(error instanceof OutcomeUnknown)) throw error
  const detail =
    'The list did not come: the message broker did not confirm the question in time, the connection to it was lost, or this server is stopping. Asking again is safe.'
  throw new Problem(503, 'outcome-unknown', detail, { headers: { 'Retry-After': '2' } })
}
