// Responds to what never becomes a request: parser errors (malformed, too large, too slow), CONNECT, and connections over a limit.
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../service.ts'
import type { Connection } from './connection.ts'
import { type ProblemDocument, problemBody, sendProblemDocument } from './problem-document.ts'
import { malformed, refuse } from './refusal.ts'

/** Reset, or ended in the middle of a request. */
const GONE: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'HPE_INVALID_EOF_STATE'])
const CLOSE = { Connection: 'close' }
const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  503: 'Service Unavailable',
}

/** A rejected client gets this long to read the reason. */
const READ_WITHIN_MS = 1_000
/** The same for a refused connection; others wait for their response. */
const TURNED_AWAY_WITHIN_MS = 200

export const CONNECT_REFUSED: ProblemDocument = {
  status: 501,
  kind: 'not-implemented',
  title: 'Not implemented',
  detail: 'This is no proxy: CONNECT is not served.',
  headers: CLOSE,
}

export const OVER_LIMIT: ProblemDocument = {
  status: 503,
  kind: 'not-accepted',
  title: 'Not accepted',
  detail: 'Too much is being sent to this server at once: this request was not read. Sending it again is safe.',
  headers: { ...CLOSE, 'Retry-After': '2' },
  details: { reason: 'over-limit' },
}

/** The problem for an error of Node's parser. Undefined when the client is gone and cannot be told. */
export function rejectionOf({ code = '' }: NodeJS.ErrnoException): ProblemDocument | undefined {
  if (GONE.has(code)) return undefined
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: 431,
        kind: 'headers-too-large',
        title: 'The headers are too large',
        detail: 'The headers of the request are too large.',
        headers: CLOSE,
      }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return {
        status: 413,
        kind: 'too-large',
        title: 'The body is too large',
        detail: 'The extensions of a chunk are too large.',
        headers: CLOSE,
      }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        status: 408,
        kind: 'too-slow',
        title: 'The request came too slowly',
        detail: 'The request took too long to arrive.',
        headers: CLOSE,
      }
    default:
      return malformed('This is not HTTP as RFC 9112 has it.')
  }
}

/**
 * Responds with `problem` when it is the connection's turn, and closes it. A request whose body has arrived completely
 * is handled first, because it may have taken effect. If its body is what is rejected, its response is the problem.
 */
export function reject({ socket, last }: Connection, problem: ProblemDocument, log: Log): void {
  if (last === undefined) return void answerOn(socket, problem, log)
  const { request, response, isInFlight } = last
  if (request.complete) return void response.once('close', () => answerOn(socket, problem, log))
  if (!isInFlight) return void refuse(request, problem)
  // Half a response must not look complete.
  if (response.headersSent) return void socket.resetAndDestroy()
  response.once('finish', () => closeSoon(socket))
  sendProblemDocument(response, problem)
}

/** Tells a client that there are too many connections. Not logged each time, because a flood of connections must not flood the log. */
export function turnAway(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.write(responseTo(OVER_LIMIT, randomUUID()))
  // If closed with unread data, the connection would be reset and the response lost.
  socket.once('data', () => setImmediate(() => socket.destroy()))
  closeSoon(socket, TURNED_AWAY_WITHIN_MS)
}

/** Writes the response as bytes, because there is no response object for a request that was not parsed. */
export function answerOn(socket: Duplex, problem: ProblemDocument, log: Log): void {
  if (!socket.writable) return void socket.destroy()
  const requestId = randomUUID()
  const { status, kind: reason, detail: error } = problem
  const address = 'remoteAddress' in socket ? socket.remoteAddress : undefined
  log.info({ requestId, address, route: 'unmatched', status, reason, error }, 'request')
  socket.write(responseTo(problem, requestId))
  closeSoon(socket)
}

function responseTo(problem: ProblemDocument, requestId: string): string {
  const body = problemBody(problem)
  const headers = {
    ...problem.headers,
    'X-Request-Id': requestId,
    'Content-Type': 'application/problem+json',
    'Content-Length': Buffer.byteLength(body),
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${problem.status} ${STATUS_TEXT[problem.status]}\r\n${lines.join('')}\r\n${body}`
}

/** Ends the connection, but drops incoming data for a while: if closed at once, a sending client would get a reset and no response. */
function closeSoon(socket: Duplex, withinMs = READ_WITHIN_MS): void {
  const timer = setTimeout(() => socket.destroy(), withinMs)
  socket.once('close', () => clearTimeout(timer))
  socket.end()
  socket.resume()
}
