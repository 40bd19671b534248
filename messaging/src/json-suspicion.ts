// Detects JSON that parsers interpret differently or that can harm them: repeated members, prototypes, unlimited nesting.

/** Maximum nesting of arrays and objects. An item has one level. */
export const DEPTH_MAX = 64

/** The problem of `value`, the result of JSON.parse for `text`, in a sentence that names the member. Undefined if there is none. */
export function suspicion(text: string, value: unknown): string | undefined {
  if (!isObject(value)) return undefined
  const census: Census = { members: 0, fault: undefined }
  count(value, 1, census)
  if (census.fault !== undefined) return census.fault
  // Each member has one colon, so no member is repeated if there are as many colons as members. This fast check suffices
  // for nearly all messages. Text with colons within strings is scanned name by name. Text with a backslash is scanned
  // too, because V8 (13.6) may confuse the escaped names of two objects.
  return colonsIn(text) === census.members && !text.includes('\\') ? undefined : repeatedName(text)
}

interface Census {
  members: number
  fault: string | undefined
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

function count(value: Record<string, unknown> | unknown[], depth: number, census: Census): void {
  if (depth > DEPTH_MAX) {
    census.fault ??= `body: nested deeper than ${DEPTH_MAX} levels`
  } else if (Array.isArray(value)) {
    for (const element of value) if (isObject(element)) count(element, depth + 1, census)
  } else {
    for (const name in value) {
      census.members += 1
      const member = value[name]
      if (isForPrototypes(name, member)) census.fault ??= `${name}: no member may have this name`
      else if (isObject(member)) count(member, depth + 1, census)
    }
  }
}

/** Whether code that copies this member to another object could change the prototype of all objects. */
const isForPrototypes = (name: string, member: unknown): boolean =>
  name === '__proto__' || (name === 'constructor' && isObject(member) && Object.hasOwn(member, 'prototype'))

function colonsIn(text: string): number {
  let colons = 0
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) colons += 1
  return colons
}

const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPENING = 0x7b
const CLOSING = 0x7d
const SPACE = 0x20

/** Scans valid JSON name by name, in one pass. */
function repeatedName(text: string): string | undefined {
  // The names read so far of each object that contains the current position.
  const open: Set<string>[] = []
  let at = 0
  while (at < text.length) {
    const character = text.charCodeAt(at)
    at += 1
    if (character === OPENING) open.push(new Set())
    else if (character === CLOSING) open.pop()
    else if (character === QUOTE) {
      const { end, escaped } = endOfString(text, at)
      if (isFollowedByColon(text, end)) {
        const raw = text.slice(at, end - 1)
        const name = escaped ? String(JSON.parse(`"${raw}"`)) : raw
        const names = open.at(-1)
        if (names?.has(name)) return `${name.slice(0, 100)}: the member appears more than once`
        names?.add(name)
      }
      at = end
    }
  }
  return undefined
}

/** The position after the closing quote of the string whose content starts at `start`. */
function endOfString(text: string, start: number): { end: number; escaped: boolean } {
  let escaped = false
  for (let at = start; at < text.length; at += 1) {
    const character = text.charCodeAt(at)
    if (character === QUOTE) return { end: at + 1, escaped }
    if (character === BACKSLASH) {
      escaped = true
      at += 1
    }
  }
  return { end: text.length, escaped }
}

function isFollowedByColon(text: string, from: number): boolean {
  let at = from
  // JSON white space is at or below U+0020. Every character that starts a token is above it.
  while (text.charCodeAt(at) <= SPACE) at += 1
  return text.charCodeAt(at) === COLON
}
