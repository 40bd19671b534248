// The directory of one test run, under .local/test. It contains the servers of this run only, and is deleted afterwards.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identify, isAlive, type ProcessIdentity, processIdentity } from '../processes/process-identity.ts'
import { killProcess } from '../servers/background-process.ts'
import { attachServers } from '../servers/index.ts'
import { readState } from '../servers/state.ts'

const OWNER = 'owner.json'
const JEST = 'jest.json'

/** Records the process that runs the tests, so that a later run can kill it if this run was killed. */
export function noteJest(directory: string, pid: number): void {
  writeFileSync(join(directory, JEST), JSON.stringify(identify(pid) ?? null))
}

/** Creates a directory under `parent` for a run of this process. Parallel runs need different numbers. */
export function makeTestDirectory(parent: string, number: number): string {
  const directory = join(parent, `${process.pid}-${number}`)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, OWNER), JSON.stringify(identify(process.pid)))
  return directory
}

/** Stops the servers of a run, including those that its tests started, and deletes its files. */
export async function removeTestDirectory(directory: string): Promise<void> {
  const jest = readIdentity(join(directory, JEST))
  if (jest !== undefined) await killProcess(jest)
  for (const name of namesIn(directory)) {
    const place = join(directory, name)
    if (readState(place) !== undefined) await (await attachServers(place)).close({ deleteData: true })
  }
  rmSync(directory, { recursive: true, force: true })
}

/** Stops the servers of killed runs and deletes their files. Resolves with the number of these runs. */
export async function sweepTestDirectories(parent: string): Promise<number> {
  const abandoned = namesIn(parent)
    .map((name) => join(parent, name))
    .filter((directory) => !hasOwner(directory))
  for (const directory of abandoned) await removeTestDirectory(directory)
  return abandoned.length
}

function hasOwner(directory: string): boolean {
  const owner = readIdentity(join(directory, OWNER))
  return owner !== undefined && isAlive(owner)
}

function readIdentity(path: string): ProcessIdentity | undefined {
  try {
    return processIdentity.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    // The file is missing, or incomplete because the process was killed while it wrote the file.
    return undefined
  }
}

function namesIn(parent: string): string[] {
  try {
    return readdirSync(parent)
  } catch {
    return []
  }
}
