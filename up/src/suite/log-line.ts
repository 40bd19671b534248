// Makes a line of a service's log readable: a JSON record becomes time, level, message and the other members.
import { printable } from '@ims/runtime'
import { z } from 'zod'

const record = z.looseObject({
  level: z.union([z.number(), z.string()]),
  time: z.union([z.number(), z.string()]).optional(),
  message: z.string().optional(),
  msg: z.string().optional(),
})

const LEVEL_NAMES: Record<number, string> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
}

/** Members that are not shown with the others, because the text already contains them or the prefix names the service. */
const KNOWN = new Set(['level', 'time', 'message', 'msg', 'pid', 'hostname', 'name', 'service'])

/** The prefix of a forwarded line: `consumer_one | `. */
export function logPrefix(name: string, width: number): string {
  return `${name.padEnd(width)} | `
}

/**
 * Returns `12:34:56.789 INFO message {"other":"members"}` for a JSON log record, with the time in UTC, and any other line
 * unchanged. Always escapes control characters.
 */
export function legible(line: string): string {
  return printable(decoded(line))
}

function decoded(line: string): string {
  const parsed = record.safeParse(parse(line))
  if (!parsed.success) return line
  const { level, time, msg = '', message = msg, ...rest } = parsed.data
  const others = Object.fromEntries(Object.entries(rest).filter(([key]) => !KNOWN.has(key)))
  const levelName = (typeof level === 'number' ? (LEVEL_NAMES[level] ?? String(level)) : level.toUpperCase()).padEnd(5)
  const details = Object.keys(others).length > 0 ? ` ${JSON.stringify(others)}` : ''
  return `${clock(time)}${levelName} ${message}${details}`
}

function parse(line: string): unknown {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function clock(time: number | string | undefined): string {
  const date = new Date(time ?? Number.NaN)
  return Number.isNaN(date.getTime()) ? '' : `${date.toISOString().slice(11, 23)} `
}
