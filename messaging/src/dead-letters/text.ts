// Makes hostile text safe to show: what was set aside may hold anything, and a terminal obeys control characters.

/** Control and format characters (bidirectional overrides too), line and paragraph separators, lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `text` on one line, with everything a terminal could obey written as an escape: `\n`, `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => SHORT_ESCAPES[character] ?? escaped(character))
}

/** `value` as JSON on one line, of which no character is unsafe on a terminal. Parses to the same value. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, escaped)
}

/** In UTF-16 units. A character that is cut in two is two escapes, which mean the same. */
const PIECE_LENGTH = 65_536
const EMPTY_BODY = '"body":""'

/** The same line with its end, in pieces: what is made of a body of 15 MiB at once would be several times as large. */
export function* jsonLinePieces<T extends { readonly body: string }>(value: T): Generator<string> {
  const { body } = value
  if (body.length <= PIECE_LENGTH) return yield `${jsonLine(value)}\n`
  const line = jsonLine({ ...value, body: '' })
  // In a text of another member the quotes would be escaped.
  const at = line.indexOf(EMPTY_BODY) + EMPTY_BODY.length - 1
  yield line.slice(0, at)
  for (let from = 0; from < body.length; from += PIECE_LENGTH)
    yield jsonLine(body.slice(from, from + PIECE_LENGTH)).slice(1, -1)
  yield `${line.slice(at)}\n`
}

/** Per UTF-16 unit, as JSON has it. */
function escaped(character: string): string {
  let text = ''
  for (let at = 0; at < character.length; at += 1)
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`
  return text
}

/** The first `most` characters, with an ellipsis when something was left out. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}
