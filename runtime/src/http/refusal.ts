// Detects requests that must be rejected on every path, and converts the target of each request to a path.
import type { IncomingMessage } from 'node:http'
import type { ProblemDocument } from './problem-document.ts'

const CLOSE = { Connection: 'close' }

/** Query parsers silently ignore all parameters after this number. */
const PARAMETERS_MAX = 1_000

export const malformed = (detail: string): ProblemDocument => ({
  status: 400,
  kind: 'malformed',
  title: 'The request is malformed',
  detail,
  headers: CLOSE,
})

/** A request with this many headers is rejected, because Node silently drops all further headers. */
export const HEADERS_MAX_COUNT = 200

const refusals = new WeakMap<IncomingMessage, ProblemDocument>()

/**
 * Why a request must be rejected on every path. Undefined for all other requests. The application calls this after it
 * has counted and logged the request.
 */
export const refusalOf = (request: IncomingMessage): ProblemDocument | undefined =>
  refusals.get(request) ?? refusalBy(request)

/** Makes the application reject `request` with `problem`. */
export function refuse(request: IncomingMessage, problem: ProblemDocument): void {
  refusals.set(request, problem)
}

/**
 * Converts the target of a request to the form `/path?query`. A target without a path becomes `/`, and the request is
 * rejected unless it is `OPTIONS *`.
 */
export function normaliseTarget(request: IncomingMessage): void {
  if (request.url?.startsWith('/') || toOriginForm(request)) return
  refuse(request, malformed('The target of the request is not a path.'))
}

function refusalBy(request: IncomingMessage): ProblemDocument | undefined {
  const { headers, rawHeaders, url = '' } = request
  if (rawHeaders.length >= HEADERS_MAX_COUNT * 2)
    return {
      status: 431,
      kind: 'headers-too-large',
      title: 'The headers are too large',
      detail: `A request may have fewer than ${HEADERS_MAX_COUNT} headers.`,
      headers: CLOSE,
    }
  if (headers.host === undefined && request.httpVersion !== '1.0') return malformed('The header Host is missing.')
  if (headers.expect !== undefined && !/^100-continue$/i.test(headers.expect))
    return {
      status: 417,
      kind: 'expectation-failed',
      title: 'The expectation cannot be met',
      detail: 'The header Expect may be 100-continue, and nothing else.',
      headers: CLOSE,
    }
  // Express's router ignores a fragment. The check of the scope does not: to it, `/create_item#` would be another path.
  if (url.includes('#')) return malformed('The target of the request must not have a fragment (#).')
  if (parametersIn(url) > PARAMETERS_MAX) return malformed(`The query may have at most ${PARAMETERS_MAX} parameters.`)
  return undefined
}

/**
 * Converts the form for proxies, `http://host/path`. Its host replaces the header `Host` (RFC 9112, 3.2.2). Returns false
 * for any other target except that of `OPTIONS *`.
 */
function toOriginForm(request: IncomingMessage): boolean {
  const { url: target = '', method } = request
  const url = /^https?:\/\//i.test(target) ? URL.parse(target) : null
  request.url = url === null ? '/' : `${url.pathname}${url.search}`
  if (url !== null) request.headers.host = url.host
  return url !== null || (target === '*' && method === 'OPTIONS')
}

function parametersIn(url: string): number {
  let count = 1
  for (let at = url.indexOf('?'); at >= 0; at = url.indexOf('&', at + 1)) count += 1
  return count - 1
}
