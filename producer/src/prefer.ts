// The header `Prefer` (RFC 7240): how many seconds a client wants to wait for the outcome.

/** One preference: a token, perhaps a value (a token or a quoted string), perhaps parameters, up to a comma or the end. */
const TOKEN = "[!#$%&'*+.^_`|~\\w-]+"
const WORD = `(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")`
const PREFERENCE = new RegExp(
  `[\\s,]*(${TOKEN})(?:\\s*=\\s*(${WORD})?)?((?:\\s*;\\s*(?:${TOKEN}(?:\\s*=\\s*(?:${WORD})?)?)?)*)\\s*(?=,|$)`,
  'y',
)

/**
 * Seconds of the preference `wait`, at most `mostS`; undefined when there is none, or when it or the header is not valid:
 * such are ignored. Of several `wait` the first counts. `header` is all `Prefer` headers, joined with commas.
 */
export function preferredWaitS(header: string | string[] | undefined, mostS: number): number | undefined {
  if (header === undefined) return undefined
  const text = String(header)
  PREFERENCE.lastIndex = 0
  for (let match = PREFERENCE.exec(text); match !== null; match = PREFERENCE.exec(text)) {
    const [, name = '', value = ''] = match
    if (name.toLowerCase() === 'wait') return secondsIn(value, mostS)
  }
  return undefined
}

function secondsIn(value: string, mostS: number): number | undefined {
  const plain = value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value
  return /^\d+$/.test(plain) ? Math.min(Number(plain), mostS) : undefined
}
