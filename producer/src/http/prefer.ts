// The header `Prefer` (RFC 7240): how many seconds a client wants to wait for the outcome.

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/
const QUOTED = /^"(?:[^"\\]|\\.)*"$/

/**
 * Seconds of the preference `wait`, at most `maxS`. Undefined if there is none, or if its value or the header is invalid. The
 * first of several `wait` counts. `header` contains all `Prefer` headers, joined with commas.
 */
export function preferredWaitS(header: string | string[] | undefined, maxS: number): number | undefined {
  if (header === undefined) return undefined
  for (const preference of splitOutsideQuotes(String(header), ',')) {
    if (preference.trim() === '') continue // a list may have empty elements (RFC 9110, section 5.6.1)
    const [itself = ''] = splitOutsideQuotes(preference, ';')
    const equals = itself.indexOf('=')
    const name = (equals < 0 ? itself : itself.slice(0, equals)).trim()
    const value = equals < 0 ? '' : itself.slice(equals + 1).trim()
    if (!TOKEN.test(name) || !(value === '' || TOKEN.test(value) || QUOTED.test(value))) return undefined
    if (name.toLowerCase() === 'wait') return secondsIn(value, maxS)
  }
  return undefined
}

/** Splits at `separator` outside quoted strings. Reads the text once, in linear time, because the client controls its length. */
function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = []
  let quoted = false
  let start = 0
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]
    if (quoted && character === '\\') at += 1
    else if (character === '"') quoted = !quoted
    else if (character === separator && !quoted) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}

function secondsIn(value: string, maxS: number): number | undefined {
  const plain = value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value
  return /^\d+$/.test(plain) ? Math.min(Number(plain), maxS) : undefined
}
