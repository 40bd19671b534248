// The directory of one test run, under .local/test: its servers live there, and nobody else's; nothing of it is left behind.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identify, isAlive, type ProcessIdentity, processIdentity } from '../processes/process-identity.ts'
import { killProcess } from '../servers/background-process.ts'
import { attachServers } from '../servers/index.ts'
import { readState } from '../servers/state.ts'

const OWNER = 'owner.json'
const JEST = 'jest.json'

/** Notes who runs the tests, so that they can be ended even when this process is killed. */
export function noteJest(directory: string, pid: number): void {
  writeFileSync(join(directory, JEST), JSON.stringify(identify(pid) ?? null))
}

/** Makes a directory for the run of this process under `parent`. */
export function makeTestDirectory(parent: string): string {
  const directory = join(parent, String(process.pid))
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, OWNER), JSON.stringify(identify(process.pid)))
  return directory
}

/** Stops the servers of a run, those that its tests have started beside them too, and deletes all it has left. */
export async function removeTestDirectory(directory: string): Promise<void> {
  const jest = readIdentity(join(directory, JEST))
  if (jest !== undefined) await killProcess(jest)
  for (const name of namesIn(directory)) {
    const place = join(directory, name)
    if (readState(place) !== undefined) await (await attachServers(place)).close({ deleteData: true })
  }
  rmSync(directory, { recursive: true, force: true })
}

/** Removes what runs left behind that were killed without a chance to clean up; resolves with how many. */
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
    // Not written, or not to its end: its process was killed just then.
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
