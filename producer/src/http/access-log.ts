// Gives every request an id, logs it in one line, and measures it.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { requestIdIn, type Service } from '@ims/messaging'
import { clientOf } from './authorisation.ts'
import { clientAddress } from './client-address.ts'
import { type Refusal, refusalLogged } from './problem.ts'
import { pathOf, type Step } from './step.ts'
import { endRequestSpan, startRequestSpan } from './trace-request.ts'

/** Other methods are recorded as `other`, because clients can send any method, and each would create a time series. */
const KNOWN_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Logged as the status when the client disconnected before it got a response, as nginx does. */
const CLIENT_LEFT = 499

/**
 * Sets `X-Request-Id` on every response, logs and measures the request when it ends, and asks clients to close the
 * connection once `stopping` is aborted. `routes` are the paths used in the log and the metrics, with `:` before a parameter; all
 * others are `unmatched`.
 */
export function accessLog(
  { log, meter, stopping }: Pick<Service, 'log' | 'meter' | 'stopping'>,
  routes: readonly string[],
): Step {
  const known = new Set(routes)
  const open = routes.flatMap((route) =>
    route.includes(':') ? [{ route, start: route.slice(0, route.indexOf(':')) }] : [],
  )
  return (request, response) => {
    const since = performance.now()
    const requestId = requestIdIn(request.headers['x-request-id']) ?? randomUUID()
    response.setHeader('X-Request-Id', requestId)
    if (stopping.aborted) response.setHeader('Connection', 'close')
    request.url = normalised(request.url ?? '/')
    const path = pathOf(request)
    const route = known.has(path) ? path : (open.find(({ start }) => path.startsWith(start))?.route ?? 'unmatched')
    const address = clientAddress(request)
    const method = KNOWN_METHODS.has(request.method ?? '') ? (request.method ?? '') : 'other'
    const span = startRequestSpan(request, method, route, requestId)
    response.on('close', () => {
      const ms = performance.now() - since
      const status = response.headersSent ? response.statusCode : CLIENT_LEFT
      const refusal = refusalLogged(response)
      // A truncated response has also failed, although its status does not show it.
      const level = status >= 500 || refusal?.error !== undefined ? 'warn' : 'info'
      log[level](fieldsOf(request, response, { requestId, address, route, status, refusal, ms }), 'request')
      if (span !== undefined) endRequestSpan(span, status, response.getHeader('Message-Id'))
      meter.observe('http_request_duration_seconds', ms / 1000, { route, method, status: String(status) })
      if (status >= 500) {
        const reason = refusal?.reason ?? 'unknown'
        meter.count('http_requests_failed', { route, status: String(status), reason })
      }
    })
    return true
  }
}

const UNRESERVED = /%(2d|2e|3\d|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/gi

/**
 * Normalises a URL as the Python suite does: several slashes at the start count as one, and letters, digits and - . _ ~
 * may be percent-encoded (RFC 3986, 6.2.2.2).
 */
function normalised(url: string): string {
  const oneSlash = url.startsWith('//') ? url.replace(/^\/+/, '/') : url
  const query = oneSlash.indexOf('?')
  const path = query < 0 ? oneSlash : oneSlash.slice(0, query)
  if (!path.includes('%')) return oneSlash
  const decoded = path.replace(UNRESERVED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return query < 0 ? decoded : decoded + oneSlash.slice(query)
}

interface Seen {
  readonly requestId: string
  readonly address: string | undefined
  readonly route: string
  readonly status: number
  readonly refusal: Refusal | undefined
  readonly ms: number
}

function fieldsOf(
  { method }: IncomingMessage,
  response: ServerResponse,
  { requestId, address, route, status, refusal, ms }: Seen,
): object {
  // The log omits undefined members.
  return {
    requestId,
    address,
    client: clientOf(response)?.name,
    messageId: response.getHeader('Message-Id'),
    method,
    route,
    status,
    reason: refusal?.reason,
    error: refusal?.error,
    ms: Math.round(ms * 10) / 10,
    cutOff: response.writableFinished ? undefined : true,
  }
}
