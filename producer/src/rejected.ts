// Answers what Node's HTTP parser rejects before any route sees it: malformed, too large, too slow; in the same form as all errors.
import { randomUUID } from 'node:crypto'
import type { Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Log } from '@ims/messaging'
import { Problem, problemJson, sendProblem } from './problem.ts'

/** Refused connections are told in the log this often at most: whoever floods us must not flood the log. */
const SAY_EVERY_MS = 10_000

/** Reset, or ended in the middle of a request. */
const GONE: ReadonlySet<string> = new Set(['ECONNRESET', 'HPE_INVALID_EOF_STATE'])
const CLOSE = { headers: { Connection: 'close' } }
const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
}

/** Makes `server` answer rejected requests with problem details, each with an id and a line in the log. */
export function answerRejected(server: Server, log: Log): void {
  /** The response that is the connection's turn; requests may be sent before the answer to the one before. */
  const current = new WeakMap<Duplex, ServerResponse>()
  const answered = new WeakSet<Duplex>()
  server.on('request', (request, response) => current.set(request.socket, response))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (answered.has(socket)) return
    answered.add(socket)
    const problem = rejection(error)
    const response = current.get(socket)
    const inHand = response !== undefined && !response.writableFinished && !response.destroyed ? response : undefined
    // Whoever is gone cannot be told.
    if (GONE.has(error.code ?? '') || !socket.writable) return void socket.destroy()
    if (inHand === undefined) return answerOn(socket, problem, log)
    if (inHand.req.complete) {
      // What was rejected came behind a request that is in hand. That one gets its own answer first: it may have been done.
      inHand.once('close', () => answerOn(socket, problem, log))
      return
    }
    // The body of the request in hand is what was rejected. Half an answer must not look whole.
    if (inHand.headersSent) return void socket.destroy()
    inHand.once('finish', () => closeSoon(socket))
    sendProblem(inHand, problem)
  })
  const saying = { until: 0 }
  server.on('drop', () => {
    if (performance.now() < saying.until) return
    saying.until = performance.now() + SAY_EVERY_MS
    log.warn({ most: server.maxConnections }, 'connections are refused: HTTP_CONNECTIONS_MOST are open')
  })
}

function rejection({ code }: NodeJS.ErrnoException): Problem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem(431, 'headers-too-large', 'The headers of the request are too large.', CLOSE)
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Problem(413, 'too-large', 'The extensions of a chunk are too large.', CLOSE)
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem(408, 'too-slow', 'The request took too long to arrive.', CLOSE)
    default:
      return new Problem(400, 'malformed', 'This is not HTTP as RFC 9112 has it.', CLOSE)
  }
}

/** Writes the answer as bytes: no response was made for a request that was never understood. */
function answerOn(socket: Duplex, problem: Problem, log: Log): void {
  if (!socket.writable) return void socket.destroy()
  const requestId = randomUUID()
  log.info({ requestId, route: 'unmatched', status: problem.status, reason: problem.message }, 'request')
  const body = problemJson(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_TEXT[problem.status]}`,
    'Connection: close',
    `X-Request-Id: ${requestId}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  closeSoon(socket)
}

/** Ends, then gives up on the connection: a client that goes on sending would keep it half open. */
function closeSoon(socket: Duplex): void {
  socket.end(() => socket.destroy())
}
