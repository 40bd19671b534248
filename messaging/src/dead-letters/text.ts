// Makes hostile text safe to display. A dead letter may contain anything, and a terminal obeys control characters.

/** Control and format characters (including bidirectional overrides), line and paragraph separators, lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `text` on one line, with everything a terminal could obey as an escape: `\n`, `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => SHORT_ESCAPES[character] ?? escaped(character))
}

/** `value` as JSON on one line, without characters that are unsafe on a terminal. Parses to the same value. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, escaped)
}

/** In UTF-16 units. A character that is cut in two becomes two escapes with the same meaning. */
const PIECE_LENGTH = 65_536
const EMPTY_BODY = '"body":""'

/** The same line with its newline, in pieces: formatting a body of 15 MiB at once would need several times that memory. */
export function* jsonLinePieces<T extends { readonly body: string }>(value: T): Generator<string> {
  const { body } = value
  if (body.length <= PIECE_LENGTH) return yield `${jsonLine(value)}\n`
  const line = jsonLine({ ...value, body: '' })
  // In the text of another member the quotes would be escaped.
  const at = line.indexOf(EMPTY_BODY) + EMPTY_BODY.length - 1
  yield line.slice(0, at)
  for (let from = 0; from < body.length; from += PIECE_LENGTH)
    yield jsonLine(body.slice(from, from + PIECE_LENGTH)).slice(1, -1)
  yield `${line.slice(at)}\n`
}

/** Per UTF-16 unit, as in JSON. */
function escaped(character: string): string {
  let text = ''
  for (let at = 0; at < character.length; at += 1)
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`
  return text
}

/** The first `max` characters, with an ellipsis when something was cut off. */
export function shortened(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text
}
