// Bytes to a JSON value, with a reason instead of an exception: what comes from a queue is hostile until parsed.
import { isUtf8 } from 'node:buffer'

export type Parsed = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: string }

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

/** Parses UTF-8 JSON (RFC 8259), with or without a byte order mark. Never throws. */
export function parseJson(bytes: Buffer): Parsed {
  if (bytes.length === 0) return { ok: false, error: 'the body is empty' }
  if (!isUtf8(bytes)) return { ok: false, error: 'the body is not valid UTF-8' }
  const start = bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0
  try {
    return { ok: true, value: JSON.parse(bytes.toString('utf8', start)) }
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) }
  }
}
