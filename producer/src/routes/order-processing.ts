// GET /order_processing: lists the inventory, streamed page by page, or one page of it.
import { LAST_PAGE, OutcomeUnknown } from '@ims/messaging'
import type { RequestHandler } from 'express'
import { whenLeft } from '../answer.ts'
import type { Dependencies } from '../dependencies.ts'
import { nextPageUrl, wantedBy } from '../listing-query.ts'
import { askForPage, type Page, type PageRequest } from '../pages.ts'
import { Problem } from '../problem.ts'
import { shareNext } from '../share-next.ts'
import { streamPages } from '../stream-pages.ts'

/**
 * Items of pages that may be asked for at once: as many as can come before the deadline, and fit into memory. Who comes
 * then is refused at once, rather than all of them late.
 */
const ITEMS_ASKED_MOST = 500_000

export function orderProcessingRoute({ broker, config }: Pick<Dependencies, 'broker' | 'config'>): RequestHandler {
  let itemsAsked = 0
  const askOnce = shareNext(
    (wanted: PageRequest, left) => {
      itemsAsked += wanted.pageItems
      return askForPage(broker.requester, wanted, left).finally(() => {
        itemsAsked -= wanted.pageItems
      })
    },
    ({ after, limit, pageItems, sku, label }) => JSON.stringify([after, limit, pageItems, sku, label]),
  )
  return async (request, response) => {
    const wanted = wantedBy(request.query)
    const pageItems = wanted.limit ?? config.listPageItems
    const left = whenLeft(response)
    const ask = (after: number): Promise<Page> =>
      askOnce({ ...wanted, after, pageItems, deadlineMs: config.rpcTimeoutMs }, left)
    if (itemsAsked + pageItems > ITEMS_ASKED_MOST) throw overLimit()
    // Before any header goes out, so that a failure can still be told by the status.
    const first = await ask(wanted.after).catch(nothingChanged)
    response.setHeader('Content-Type', 'application/json')
    if (wanted.limit === undefined && first.next !== LAST_PAGE) return await streamPages(response, first, ask)
    if (first.next !== LAST_PAGE) response.setHeader('Link', `<${nextPageUrl(request.url, first.next)}>; rel="next"`)
    response.setHeader('Content-Length', first.json.length)
    response.end(first.json)
  }
}

function overLimit(): Problem {
  const detail = 'Too many lists are asked for at this moment: this one was not asked for. Asking again is safe.'
  return new Problem(503, 'not-accepted', detail, { headers: { 'Retry-After': '2' }, reason: 'over-limit' })
}

/** Of a question it does not matter whether it arrived: it changes nothing, and may be asked again. */
function nothingChanged(error: unknown): never {
  if (!(error instanceof OutcomeUnknown)) throw error
  const detail =
    'The list did not come: the connection to the message broker was lost, or this server is stopping. Asking again is safe.'
  throw new Problem(503, 'not-accepted', detail, { headers: { 'Retry-After': '2' } })
}
