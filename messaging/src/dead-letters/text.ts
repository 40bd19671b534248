// Makes the text of dead letters safe to display. A terminal would interpret the control characters that they may contain.
import type { DeadLetter } from './described.ts'

/** Control and format characters (including bidirectional overrides), line and paragraph separators, lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `text` on one line. Characters that a terminal could interpret are escaped: `\n`, `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => SHORT_ESCAPES[character] ?? escaped(character))
}

/** `value` as JSON on one line, without characters that are unsafe on a terminal. Parses to the same value. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, escaped)
}

/** A multiple of 3, so that pieces of base64 can be joined. */
const PIECE_BYTES = 65_535
const EMPTY_BODY = '"body":""'

/**
 * A dead letter as JSON on one line, with the whole `content` as its body and a newline at the end. Returned in pieces, because
 * formatting a body of 15 MiB at once needs several times that memory.
 */
export function* jsonLinePieces(letter: DeadLetter, content: Buffer): Generator<string> {
  const line = jsonLine({ ...letter, shortened: false, body: '' })
  // This finds the member `body`, because quotes within other values are escaped.
  const at = line.indexOf(EMPTY_BODY) + EMPTY_BODY.length - 1
  yield line.slice(0, at)
  for (let [from, end] = [0, 0]; from < content.length; from = end) {
    end = wholeCharacters(content, letter.encoding, from + PIECE_BYTES)
    yield jsonLine(content.toString(letter.encoding, from, end)).slice(1, -1)
  }
  yield `${line.slice(at)}\n`
}

/** The largest end up to `max` that does not split a UTF-8 character, whose continuation bytes start with the bits 10. */
export function wholeCharacters(content: Buffer, encoding: DeadLetter['encoding'], max: number): number {
  let end = Math.min(content.length, max)
  if (encoding === 'utf8') while (end > 0 && end < content.length && ((content[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return end
}

/** Escapes each UTF-16 unit, as in JSON. */
function escaped(character: string): string {
  let text = ''
  for (let at = 0; at < character.length; at += 1)
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`
  return text
}

/** The first `max` characters, with an ellipsis if the text is longer. */
export function shortened(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text
}
