// The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): parses it, and rejects a request while another one
// with the same key is in flight.
import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from './problem.ts'

/** A string of a structured field (RFC 8941, 3.3.3). An empty string is rejected: it probably comes from an unset variable. */
const NON_EMPTY_STRING = /^"(?:[ !#-[\]-~]|\\["\\])+"$/
const RETRY_AFTER_S = '1'

/**
 * The key with its quotes. Undefined when there is none. Two keys are equal if their texts are equal, because each string has only one encoding.
 * @throws Problem 400
 */
export function idempotencyKey({ 'idempotency-key': header }: IncomingHttpHeaders): string | undefined {
  if (header === undefined) return undefined
  const key = String(header)
  if (NON_EMPTY_STRING.test(key)) return key
  throw invalid('must be one non-empty string in double quotes, of printable ASCII, with \\ before each " and \\ in it')
}

/** Rejects the header on paths where a repeated request has a new effect. Ignoring the header would mislead the client. */
export function refuseIdempotencyKey({ 'idempotency-key': header }: IncomingHttpHeaders): void {
  if (header !== undefined) throw invalid('is not supported on this path')
}

function invalid(message: string): Problem {
  const detail = `The header Idempotency-Key ${message}.`
  return new Problem(400, 'invalid-header', detail, { errors: [{ path: 'Idempotency-Key', message }] })
}

/** The key was used with another body. The producer detects this while the first request is in flight, the consumer afterwards. */
export const keyReused = (): Problem =>
  new Problem(422, 'idempotency-key-reused', 'This Idempotency-Key was used before with another body: use a new key.')

/** The requests with a key that are in flight in this process. */
export class InFlight {
  /** Bodies as JSON, by message id. */
  readonly #bodies = new Map<string, string>()

  /**
   * Handles a request, unless another one with the same message id is in flight.
   * @throws Problem 409, or 422 when the bodies differ
   */
  async serve(messageId: string, body: unknown, work: () => Promise<void>): Promise<void> {
    const json = JSON.stringify(body)
    const other = this.#bodies.get(messageId)
    if (other !== undefined) throw other === json ? keyInUse() : keyReused()
    this.#bodies.set(messageId, json)
    try {
      await work()
    } finally {
      this.#bodies.delete(messageId)
    }
  }
}

function keyInUse(): Problem {
  const detail =
    'A request with this Idempotency-Key is in flight. Send it again after Retry-After to get its response.'
  return new Problem(409, 'idempotency-key-in-use', detail, { headers: { 'Retry-After': RETRY_AFTER_S } })
}
