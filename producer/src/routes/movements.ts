// GET /movements: one page of the changes of stock, which consumer four reads.
import { BadReply, LAST_PAGE, movements, originHeaders, pageReplyHeaders } from '@ims/messaging'
import type { RequestHandler } from 'express'
import type { Dependencies } from '../dependencies.ts'
import { requestIdFor, whenLeft } from '../http/answer.ts'
import { movementsWantedBy, nextPageUrl } from '../listing/listing-query.ts'

const BODY = ['message', 'Movements']

export function movementsRoute({ broker, config }: Pick<Dependencies, 'broker' | 'config'>): RequestHandler {
  return async (request, response) => {
    const { sku, after, limit } = movementsWantedBy(request.query)
    const headers = {
      ...originHeaders({ requestId: requestIdFor(response) }),
      'x-after': after,
      'x-limit': limit,
      ...(sku === undefined ? {} : { 'x-sku': sku }),
    }
    const reply = await broker.requester.request(movements, BODY, {
      deadlineMs: config.rpcTimeoutMs,
      headers,
      signal: whenLeft(response),
    })
    const { 'x-next': next } = pageReplyHeaders.parse(reply.headers)
    if (next === undefined || (next !== LAST_PAGE && next <= after))
      throw new BadReply('the header x-next is missing, or not larger than x-after')
    reply.body() // throws unless it matches the contract
    if (next !== LAST_PAGE) response.setHeader('Link', `<${nextPageUrl(request.url, next)}>; rel="next"`)
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': reply.raw.length }).end(reply.raw)
  }
}
