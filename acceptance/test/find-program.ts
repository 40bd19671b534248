// Finds a program on the PATH for the tests: those of Prometheus, and Chromium.
import { execFileSync } from 'node:child_process'

const QUIETLY = { stdio: 'ignore' as const }

export interface Program {
  readonly name: string
  /** Runs it and returns its output, including errors. Throws when it fails. */
  run(...args: readonly string[]): string
}

/** The program, or a sentence that says why it is not available. */
export function findProgram(name: string, debianPackage: string): Program | string {
  try {
    execFileSync(name, ['--version'], QUIETLY)
    return { name, run: (...args) => execFileSync(name, args, { encoding: 'utf8', stdio: 'pipe' }) }
  } catch {
    return `${name} is not on the PATH (apt-get install ${debianPackage} brings it)`
  }
}
