// A program of Prometheus that the tests run, where it is on the PATH.
import { execFileSync } from 'node:child_process'

const QUIETLY = { stdio: 'ignore' as const }

export interface Program {
  readonly name: string
  /** Runs it and returns what it said, complaints included. Throws when it failed. */
  run(...args: readonly string[]): string
}

/** The program, or a sentence that says why it cannot be had. */
export function findProgram(name: string, debianPackage: string): Program | string {
  try {
    execFileSync(name, ['--version'], QUIETLY)
    return { name, run: (...args) => execFileSync(name, args, { encoding: 'utf8', stdio: 'pipe' }) }
  } catch {
    return `${name} is not on the PATH (apt-get install ${debianPackage} brings it)`
  }
}
