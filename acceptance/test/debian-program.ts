// A program of Prometheus: of the PATH, or out of Debian's package, which is unpacked and not installed.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const QUIETLY = { stdio: 'ignore' as const }

export interface Program {
  readonly path: string
  /** Runs it and returns what it said, complaints included. Throws when it failed. */
  run(...args: readonly string[]): string
  remove(): void
}

/** The program, or a sentence that says why it cannot be had. Without a package only the PATH is searched. */
export function findProgram(name: string, debianPackage?: string): Program | string {
  if (works(name)) return { path: name, run: runner(name), remove: () => {} }
  if (debianPackage === undefined) return `${name} is not on the PATH`
  const directory = mkdtempSync(join(tmpdir(), `ims-${name}-`))
  const remove = () => rmSync(directory, { recursive: true, force: true })
  try {
    unpack(debianPackage, directory)
  } catch {
    remove()
    return `${name} is not on the PATH, and Debian's package ${debianPackage} cannot be downloaded`
  }
  const path = join(directory, 'usr/bin', name)
  if (works(path)) return { path, run: runner(path), remove }
  remove()
  return `${name} of Debian's package ${debianPackage} does not work here`
}

function unpack(debianPackage: string, directory: string): void {
  const download = () => execFileSync('apt-get', ['download', debianPackage], { ...QUIETLY, cwd: directory })
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
