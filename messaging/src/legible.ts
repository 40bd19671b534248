// Shortens explanations to one line of limited length, because they may quote messages of any size.

const LEGIBLE_MAX = 2_000
/** An escaped character takes six bytes. */
const LEGIBLE_MAX_BYTES = 6 * LEGIBLE_MAX
/** Characters that move the cursor or start a new line in a display. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu

const encoder = new TextEncoder()
/** A scratch buffer to measure how much of a text fits into `maxBytes`. Its content is never read. */
const room = new Uint8Array(LEGIBLE_MAX_BYTES)

/** `text` on one line, with control characters escaped. It is truncated after 2,000 characters or `maxBytes` bytes. */
export function legible(text: string, maxBytes = LEGIBLE_MAX_BYTES): string {
  const cut = text.slice(0, LEGIBLE_MAX)
  const line = cut.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const { read } = encoder.encodeInto(line, room.subarray(0, Math.min(maxBytes, LEGIBLE_MAX_BYTES)))
  return read < line.length || cut.length < text.length ? `${line.slice(0, read)}…` : line
}
