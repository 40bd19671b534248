// Finds programs that tests need on the PATH, such as promtool and Chromium.
import { execFileSync } from 'node:child_process'

const QUIETLY = { stdio: 'ignore' as const }

export interface Program {
  readonly name: string
  /** Runs the program and returns its standard output. If the program fails, throws an error with its error output. */
  run(...args: readonly string[]): string
}

/** Returns the program, or a sentence that says why it is not available. */
export function findProgram(name: string, debianPackage: string): Program | string {
  try {
    execFileSync(name, ['--version'], QUIETLY)
    return { name, run: (...args) => execFileSync(name, args, { encoding: 'utf8', stdio: 'pipe' }) }
  } catch {
    return `${name} is not on the PATH (to install it: apt-get install ${debianPackage})`
  }
}
