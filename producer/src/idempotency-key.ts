// The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): reads it, and lets one request with a key in at a time.
import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from './problem.ts'

/** What a string of a structured field (RFC 8941, 3.3.3) is, unless it is empty. */
const NOT_EMPTY_STRING = /^"(?:[ !#-[\]-~]|\\["\\])+"$/
const RETRY_AFTER_S = '1'

/**
 * The key as it was sent, in its quotes: a string has one form only. Undefined when there is none.
 * @throws Problem 400
 */
export function idempotencyKey({ 'idempotency-key': header }: IncomingHttpHeaders): string | undefined {
  if (header === undefined || NOT_EMPTY_STRING.test(String(header))) return header?.toString()
  const message =
    'must be one string in double quotes, of printable ASCII, not empty, with \\ before each " and \\ in it'
  throw invalid(message)
}

/** For paths on which a repeat is no repeat: to ignore the key would promise what nobody keeps. */
export function refuseIdempotencyKey({ 'idempotency-key': header }: IncomingHttpHeaders): void {
  if (header !== undefined) throw invalid('is not supported on this path')
}

function invalid(message: string): Problem {
  const detail = `The header Idempotency-Key ${message}.`
  return new Problem(400, 'invalid-header', detail, { errors: [{ path: 'Idempotency-Key', message }] })
}

/** Same key, other body: known here while the first request is in flight, later by the consumer. */
export const keyReused = (): Problem =>
  new Problem(422, 'idempotency-key-reused', 'This Idempotency-Key was used before with another body: use a new key.')

/** The requests with a key that this process is serving. */
export class InFlight {
  /** Bodies, by what names the request. */
  readonly #bodies = new Map<string, string>()

  /**
   * Serves a request unless one of the same name is being served.
   * @throws Problem 409, or 422 when that one has another body
   */
  async serve(name: string, body: unknown, work: () => Promise<void>): Promise<void> {
    const json = JSON.stringify(body)
    const other = this.#bodies.get(name)
    if (other !== undefined) throw other === json ? inUse() : keyReused()
    this.#bodies.set(name, json)
    try {
      await work()
    } finally {
      this.#bodies.delete(name)
    }
  }
}

function inUse(): Problem {
  const detail = 'A request with this Idempotency-Key is being served: repeat it to learn what came of it.'
  return new Problem(409, 'idempotency-key-in-use', detail, { headers: { 'Retry-After': RETRY_AFTER_S } })
}
