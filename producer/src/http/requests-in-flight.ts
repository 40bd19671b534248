// Limits the requests in flight and the waits for an outcome, in total and per client.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Shares } from '@ims/runtime'
import { clientOf } from './authorisation.ts'
import { clientAddress } from './client-address.ts'
import type { Limits } from './limits.ts'
import { Problem, sendProblem } from './problem.ts'
import type { Step } from './step.ts'

const RETRY_AFTER_S = '2'

/**
 * Responds with 503 when too many requests are in flight, in total or from this client. Needed for clients that can have
 * many connections: holders of a key, and clients behind a proxy.
 */
export function limitRequests({ requestsMax, requestsMaxEach }: Limits): Step {
  const shares = new Shares(requestsMax, requestsMaxEach)
  return (request, response) => {
    const client = nameOf(request, response)
    if (!shares.take(client)) {
      sendProblem(response, overLimit())
      return false
    }
    response.on('close', () => shares.giveBack(client))
    return true
  }
}

/** Reserves a wait for an outcome until the response is closed. Returns false when there are too many. */
export type TakeWait = (request: IncomingMessage, response: ServerResponse) => boolean

export function limitWaits({ waitsMax, waitsMaxEach }: Limits): TakeWait {
  const shares = new Shares(waitsMax, waitsMaxEach)
  return (request, response) => {
    const client = nameOf(request, response)
    if (!shares.take(client)) return false
    response.once('close', () => shares.giveBack(client))
    return true
  }
}

/** With trusted proxies, every request passes through Express. */
const nameOf = (request: IncomingMessage, response: ServerResponse): string => {
  const client = clientOf(response)
  return client === undefined ? `address ${clientAddress(request)}` : `key ${client.name}`
}

function overLimit(): Problem {
  const detail = 'Too many requests are in flight. This one was not processed. Sending it again is safe.'
  return new Problem(503, 'not-accepted', detail, { headers: { 'Retry-After': RETRY_AFTER_S }, reason: 'over-limit' })
}
