// Parses bytes to a JSON value. Returns a reason instead of throwing, because any peer can put any bytes on a queue.
import { isUtf8 } from 'node:buffer'
import { asError } from './errors.ts'
import { suspicion } from './json-suspicion.ts'

export type Parsed =
  | { readonly ok: true; readonly value: unknown }
  /** `not-json`: no parser accepts it · `invalid`: parsers would interpret it differently, or it is crafted to harm one. */
  | { readonly ok: false; readonly reason: 'not-json' | 'invalid'; readonly error: string }

const BYTE_ORDER_MARK_BYTES = 3
const hasByteOrderMark = (bytes: Buffer): boolean => bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf

/**
 * Parses UTF-8 JSON (RFC 8259), with or without a byte order mark. Rejects repeated members (RFC 7493), nesting deeper
 * than DEPTH_MAX, and names that JavaScript treats as a prototype. Never throws.
 */
export function parseJson(bytes: Buffer): Parsed {
  if (bytes.length === 0) return notJson('the body is empty')
  if (!isUtf8(bytes)) return notJson('the body is not valid UTF-8')
  const start = hasByteOrderMark(bytes) ? BYTE_ORDER_MARK_BYTES : 0
  const text = bytes.toString('utf8', start)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return notJson(asError(error).message)
  }
  const error = suspicion(text, value)
  return error === undefined ? { ok: true, value } : { ok: false, reason: 'invalid', error }
}

const notJson = (error: string): Parsed => ({ ok: false, reason: 'not-json', error })
