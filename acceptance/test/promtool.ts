// Prometheus' own checker, where it is on the PATH.
import { execFileSync } from 'node:child_process'

const QUIETLY = { stdio: 'ignore' as const }

export interface Promtool {
  /** Runs it and returns what it said, complaints included. Throws when it found something wrong. */
  run(...args: readonly string[]): string
  remove(): void
}

/** Promtool, or a sentence that says why it cannot be had. */
export function findPromtool(): Promtool | string {
  if (!works('promtool'))
    return 'promtool is not on the PATH (apt-get install prometheus, or Prometheus itself, brings it)'
  return { run: runner('promtool'), remove: () => {} }
}

function works(program: string): boolean {
  try {
    execFileSync(program, ['--version'], QUIETLY)
    return true
  } catch {
    return false
  }
}

const runner =
  (program: string) =>
  (...args: readonly string[]): string =>
    execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' })
