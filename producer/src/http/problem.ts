// Errors as problem details (RFC 9457). Only this module maps an error to a response.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BadReply, type Log, NoReply, NotAccepted, OutcomeUnknown } from '@ims/messaging'
import { type ProblemDocument, problemSent, sendProblemDocument } from '@ims/runtime'
import type { RequestHandler } from 'express'

/** One fault of a request: the error, and the path of the member, parameter or header. An empty path means the whole body. */
export interface Fault {
  readonly path: string
  readonly message: string
}

interface Details {
  /** Faults of the request, by member. */
  readonly errors?: readonly Fault[]
  /** Why a consumer refused the command. */
  readonly reason?: string
  /** Null for items without a sku. */
  readonly sku?: string | null
  /** Progress of an interrupted redrive or discard. */
  readonly done?: number
  readonly left?: number
}

const TITLES = {
  'invalid-json': 'The body is not valid JSON',
  'invalid-body': 'The body is not valid',
  'invalid-query': 'The query parameters are not valid',
  'invalid-header': 'A header is not valid',
  'incomplete-body': 'The body is not complete',
  'not-found': 'Not found',
  'unknown-sku': 'There is no item with this sku',
  'method-not-allowed': 'Method not allowed',
  'duplicate-sku': 'An item with this sku already exists',
  'insufficient-stock': 'There is not enough in stock',
  'quantity-too-large': 'The quantity would be too large',
  'no-quantity': 'The item has no quantity',
  'too-large': 'The body is too large',
  'not-json': 'The body must be JSON',
  refused: 'The command was refused',
  'idempotency-key-in-use': 'A request with this Idempotency-Key is in flight',
  'idempotency-key-reused': 'This Idempotency-Key was used with another body',
  unauthorized: 'No valid API key',
  forbidden: 'Not permitted',
  'too-many-requests': 'Too many requests',
  internal: 'Internal error',
  'bad-reply': 'Bad response from the consumer',
  'not-accepted': 'Not accepted',
  'outcome-unknown': 'Outcome unknown',
  'no-reply': 'No reply in time',
  'unknown-dead-letter': 'There is no such dead letter',
  busy: 'The queue is in use by another operator',
  'dead-letters-unavailable': 'The dead letters are not available',
} as const

/** Seconds after which a client may retry while the broker is down. The broker is usually back by then. */
const RETRY_AFTER_S = '2'

/** An error with its response. Its message is sent to the client as `detail`, so it must not contain internal information. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly kind: keyof typeof TITLES
  readonly headers: Readonly<Record<string, string>>
  readonly details: Details
  constructor(
    status: number,
    kind: Problem['kind'],
    detail: string,
    { headers = {}, ...details }: Details & { headers?: Record<string, string> } = {},
  ) {
    super(detail)
    this.status = status
    this.kind = kind
    this.headers = headers
    this.details = details
  }
}

/** Maps an error by its class to a problem. Undefined for an unexpected error. */
export function problemOf(error: unknown): Problem | undefined {
  // Thrown by Express when it decodes path parameters.
  if (error instanceof URIError) return new Problem(400, 'invalid-query', 'The path is not properly percent-encoded.')
  if (error instanceof Problem) return error
  const headers = { 'Retry-After': RETRY_AFTER_S }
  if (error instanceof NotAccepted) {
    const detail = 'The message broker did not accept the message: it was not stored, and sending it again is safe.'
    return new Problem(503, 'not-accepted', detail, { headers, reason: error.reason })
  }
  if (error instanceof OutcomeUnknown) {
    const detail =
      'The outcome is unknown: the message may have been stored, but the message broker did not confirm it.'
    return new Problem(503, 'outcome-unknown', detail, { headers })
  }
  if (error instanceof NoReply) return new Problem(504, 'no-reply', 'The consumer did not reply in time.')
  if (error instanceof BadReply)
    return new Problem(502, 'bad-reply', 'The consumer replied with an error or in an unknown format.')
  return undefined
}

/** Why a request failed, as shown in the log and the metrics. */
export interface Refusal {
  /** The broker's or the consumer's reason, else the kind of the problem. */
  readonly reason: string
  /** Details that the client does not get. */
  readonly error?: string
}

/** For failed requests, the details that the client does not get. */
const failures = new WeakMap<ServerResponse, Refusal>()

/** Why a request failed. Undefined if it did not. */
export function refusalLogged(response: ServerResponse): Refusal | undefined {
  const problem = problemSent(response)
  return failures.get(response) ?? (problem && { reason: problem.details?.reason ?? problem.kind })
}

/** Sends a problem. The response must not have started. */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  sendProblemDocument(response, documentOf(problem))
}

const documentOf = ({ status, kind, message, headers, details }: Problem): ProblemDocument => ({
  status,
  kind,
  title: TITLES[kind],
  detail: message,
  headers,
  details,
})

/**
 * Aborts a response that has started and cannot be completed. Resets the connection, because in HTTP/1.0 a normal close
 * marks the end of a response: a partial response would look complete.
 */
export function cutOff(response: ServerResponse): void {
  response.socket?.resetAndDestroy()
  response.destroy()
}

/** Express recognises an error handler by its four parameters. */
export type Failed = (error: unknown, request: IncomingMessage, response: ServerResponse, next: () => void) => void

/** The final error handler: responds to every failed request, and logs the details that the client does not get. */
export function problemHandler(log: Log): Failed {
  return (error, _, response, _next) => {
    const requestId = response.getHeader('X-Request-Id')
    const problem = problemOf(error)
    // The client has disconnected or was disconnected, so it gets no response.
    if (response.destroyed && problem !== undefined) return
    if (problem === undefined)
      log.error({ requestId, error: stackOf(error) }, 'a request failed with an unexpected error')
    const answer =
      problem ?? new Problem(500, 'internal', 'The request failed. The log has details under its X-Request-Id.')
    const { status, kind, details } = answer
    if (problem !== undefined && status >= 500)
      failures.set(response, { reason: details.reason ?? kind, error: whyOf(error) })
    if (response.headersSent) cutOff(response)
    else sendProblem(response, answer)
  }
}

const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))
const whyOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Responds to a method that the path does not support. */
export function methodNotAllowed(allow: string): RequestHandler {
  return ({ method, path }, response) => {
    const detail = `${path} does not support ${method}. It supports ${allow}.`
    sendProblem(response, new Problem(405, 'method-not-allowed', detail, { headers: { Allow: allow } }))
  }
}

/** The problem of a path that does not exist. */
export const unknownPath = (): Problem => new Problem(404, 'not-found', 'There is nothing at this path.')

/** Responds to a path that does not exist. */
export const notFound: RequestHandler = (_, response) => sendProblem(response, unknownPath())
