// Prometheus' own checker: of the PATH, or out of Debian's package, which is unpacked and not installed.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const QUIETLY = { stdio: 'ignore' as const }

export interface Promtool {
  /** Runs it and returns what it said, complaints included. Throws when it found something wrong. */
  run(...args: readonly string[]): string
  remove(): void
}

/** Promtool, or a sentence that says why it cannot be had. */
export function findPromtool(): Promtool | string {
  if (works('promtool')) return { run: runner('promtool'), remove: () => {} }
  const directory = mkdtempSync(join(tmpdir(), 'ims-promtool-'))
  const remove = () => rmSync(directory, { recursive: true, force: true })
  try {
    unpack(directory)
  } catch {
    remove()
    return "promtool is not on the PATH, and Debian's package prometheus cannot be downloaded"
  }
  const program = join(directory, 'usr/bin/promtool')
  if (works(program)) return { run: runner(program), remove }
  remove()
  return "promtool of Debian's package prometheus does not work here"
}

function unpack(directory: string): void {
  const download = () => execFileSync('apt-get', ['download', 'prometheus'], { ...QUIETLY, cwd: directory })
  try {
    download()
  } catch {
    execFileSync('apt-get', ['update', '-o', 'DPkg::Lock::Timeout=300'], QUIETLY) // a bare machine has no lists of packages yet
    download()
  }
  const [file = ''] = readdirSync(directory)
  execFileSync('dpkg', ['--extract', join(directory, file), directory], QUIETLY)
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
