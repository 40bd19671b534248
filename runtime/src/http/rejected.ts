// Responds when there is no parsed request: parser errors (malformed, too large, too slow), CONNECT, and connections over a limit.
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../service.ts'
import type { Connection } from './connection.ts'
import { type ProblemDocument, problemBody, sendProblemDocument } from './problem-document.ts'
import { malformed, refuse } from './refusal.ts'

/** Error codes that mean that the client has reset the connection, or ended it in the middle of a request. */
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
/** The same for a connection over the limit. It is shorter, because other refused clients wait for their response. */
const TURNED_AWAY_WITHIN_MS = 200

export const CONNECT_REFUSED: ProblemDocument = {
  status: 501,
  kind: 'not-implemented',
  title: 'Not implemented',
  detail: 'This server is not a proxy and does not support CONNECT.',
  headers: CLOSE,
}

export const OVER_LIMIT: ProblemDocument = {
  status: 503,
  kind: 'not-accepted',
  title: 'Not accepted',
  detail: 'The server is receiving too much data, so this request was not read. It is safe to send it again.',
  headers: { ...CLOSE, 'Retry-After': '2' },
  details: { reason: 'over-limit' },
}

/** The problem for an error of Node's parser. Undefined when the client has disconnected. */
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
        title: 'The request arrived too slowly',
        detail: 'The request took too long to arrive.',
        headers: CLOSE,
      }
    default:
      return malformed('This is not a valid HTTP request (RFC 9112).')
  }
}

/**
 * Responds with `problem` after all earlier responses, and closes the connection. If the body of the last request is
 * complete, its own response is sent first, because the request may have taken effect. Otherwise `problem` is the
 * response to that request.
 */
export function reject({ socket, last }: Connection, problem: ProblemDocument, log: Log): void {
  if (last === undefined) return void answerOn(socket, problem, log)
  const { request, response, isInFlight } = last
  if (request.complete) return void response.once('close', () => answerOn(socket, problem, log))
  if (!isInFlight) return void refuse(request, problem)
  // Reset, so that an incomplete response does not look complete.
  if (response.headersSent) return void socket.resetAndDestroy()
  response.once('finish', () => closeSoon(socket))
  sendProblemDocument(response, problem)
}

/** Responds that there are too many connections, and closes the connection. Does not log, so that many connections cannot flood the log. */
export function turnAway(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.write(responseTo(OVER_LIMIT, randomUUID()))
  // Read first: closing a socket with unread data resets the connection, and the response would be lost.
  socket.once('data', () => setImmediate(() => socket.destroy()))
  closeSoon(socket, TURNED_AWAY_WITHIN_MS)
}

/**
 * Logs the request, responds and closes the connection. Writes the response as bytes, because there is no response object
 * for a request that was not parsed.
 */
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

/**
 * Ends the connection, but drops incoming data for a while before it closes the socket. If the socket were closed at once,
 * a client that still sends would get a reset instead of the response.
 */
function closeSoon(socket: Duplex, withinMs = READ_WITHIN_MS): void {
  const timer = setTimeout(() => socket.destroy(), withinMs)
  socket.once('close', () => clearTimeout(timer))
  socket.end()
  socket.resume()
}
