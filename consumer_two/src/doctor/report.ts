// The findings of the doctor as text or JSON, and as an exit code for scripts.
import { escapeUnsafe, printable } from '@ims/runtime'
import type { Finding } from '@ims/runtime/finding'

const SIGN = { fine: '✓', fault: '✗', unchecked: '?' }
const EXIT_FAULT = 1
const EXIT_UNCHECKED = 2

/** 1 if there is a fault, otherwise 2 if something was not checked, otherwise 0. */
export function exitCodeOf(findings: readonly Finding[]): number {
  if (findings.some(({ state }) => state === 'fault')) return EXIT_FAULT
  return findings.some(({ state }) => state === 'unchecked') ? EXIT_UNCHECKED : 0
}

/** The findings as text, or as JSON. */
export function reportOf(findings: readonly Finding[], { json }: { json: boolean }): string {
  if (json) return `${escapeUnsafe(JSON.stringify({ findings }, undefined, 2))}\n`
  const count = (wanted: Finding['state']) => findings.filter(({ state }) => state === wanted).length
  const summary = `${count('fault')} faults, ${count('unchecked')} not checked, ${count('fine')} fine`
  return `${findings.map(lineOf).join('')}${summary}\n`
}

function lineOf({ check, state, found, todo }: Finding): string {
  // Texts from servers can contain control characters: the client that declares a queue chooses its arguments.
  const text = printable(state === 'unchecked' ? `not checked, because ${found}` : found)
  return `${SIGN[state]} ${printable(check)}: ${text}\n${todo === undefined ? '' : `  What to do: ${todo}\n`}`
}
