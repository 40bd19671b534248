// Keeps secrets out of the log: members with secret names at any depth, and passwords inside URLs.
import { stdSerializers } from 'pino'

const SECRET_NAME =
  /password|passwd|passphrase|secret|token|authorization|cookie|credential|api[-_]?key|private[-_]?key/i
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@"]*:)[^\s@/"]+@/gi
const REDACTED = '[redacted]'
/** Deeper levels are not logged. This also ends cycles. */
const DEPTH_MAX = 6

/** `fields` with every secret replaced. Returns the same object when there is no secret, so that most lines are not copied. */
export function redactFields(fields: Record<string, unknown>): Record<string, unknown> {
  return redactMembers(fields, 1)
}

/** A whole log line with the passwords in its URLs replaced. */
export function redactUrls(line: string): string {
  return line.includes('://') ? line.replace(URL_PASSWORD, `$1${REDACTED}@`) : line
}

/** Characters that are valid in JSON, but on a screen can start a line, move the cursor or change the writing direction. */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** A JSON line with its unsafe characters as `\\uXXXX`. They can occur only in JSON strings, so the meaning stays the same. */
export function escapeUnsafe(line: string): string {
  return line.replace(UNSAFE, escaped)
}

/**
 * Characters that a terminal interprets or hides: control and format characters, line and paragraph separators, lone
 * surrogates. The list is the same as in messaging.
 */
const INTERPRETED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/**
 * `text` on one line for a terminal. Characters that the terminal could interpret become escapes such as `\u001b`. For
 * display only: decoding the result, for example with a JSON parser, would restore the characters.
 */
export function printable(text: string): string {
  return text.replace(INTERPRETED, (character) =>
    JSON.stringify(character)
      .slice(1, -1)
      .replace(/[^\x20-\x7e]/g, escaped),
  )
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function redactMembers(fields: Record<string, unknown>, depth: number): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined
  for (const name of Object.keys(fields)) {
    const value = fields[name]
    const shown = SECRET_NAME.test(name) && value !== undefined ? REDACTED : redactValue(value, depth)
    if (shown === value) continue
    copy ??= { ...fields }
    copy[name] = shown
  }
  return copy ?? fields
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth >= DEPTH_MAX) return '[too deep]'
  if (value instanceof Error) return redactMembers({ ...stdSerializers.err(value) }, depth + 1)
  if (Array.isArray(value)) return value.map((each) => redactValue(each, depth + 1))
  // Dates, buffers and similar objects have their own JSON form.
  return 'toJSON' in value ? value : redactMembers(value as Record<string, unknown>, depth + 1)
}
