// Decodes JSON bytes as RFC 4627 and Python do: the first four bytes show whether they are UTF-8, UTF-16 or UTF-32.
import { isUtf8 } from 'node:buffer'

/** The text in `bytes`, without byte order mark. Undefined when the bytes are not valid in the detected encoding. */
export function jsonText(bytes: Buffer): string | undefined {
  const [a = 1, b = 1, c = 1, d = 1] = bytes
  if (a === 0xef && b === 0xbb && c === 0xbf) return utf8(bytes.subarray(3))
  if (a === 0 && b === 0 && c === 0xfe && d === 0xff) return utf32(bytes.subarray(4), 'BE')
  if (a === 0xff && b === 0xfe && c === 0 && d === 0) return utf32(bytes.subarray(4), 'LE')
  if (a === 0xfe && b === 0xff) return utf16(bytes, 'utf-16be')
  if (a === 0xff && b === 0xfe) return utf16(bytes, 'utf-16le')
  // JSON starts with an ASCII character, so the positions of its zero bytes show the encoding.
  if (a === 0) return b === 0 ? utf32(bytes, 'BE') : utf16(bytes, 'utf-16be')
  if (b === 0) return c === 0 && d === 0 ? utf32(bytes, 'LE') : utf16(bytes, 'utf-16le')
  return utf8(bytes)
}

const utf8 = (bytes: Buffer): string | undefined => (isUtf8(bytes) ? bytes.toString('utf8') : undefined)

function utf16(bytes: Buffer, encoding: 'utf-16le' | 'utf-16be'): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function utf32(bytes: Buffer, order: 'LE' | 'BE'): string | undefined {
  if (bytes.length % 4 !== 0) return undefined
  let text = ''
  for (let at = 0; at < bytes.length; at += 4) {
    const codePoint = order === 'LE' ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at)
    if (codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) return undefined
    text += String.fromCodePoint(codePoint)
  }
  return text
}
