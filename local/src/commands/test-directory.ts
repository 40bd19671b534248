// The directory of one test run, under .local/test: its servers live there, and nobody else's; nothing of it is left behind.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachServers } from '../servers/index.ts'
import { readState } from '../servers/state.ts'
import { identify, isAlive, processIdentity } from '../suite/process-identity.ts'

const OWNER = 'owner.json'

/** Makes a directory for the run of this process under `parent`. */
export function makeTestDirectory(parent: string): string {
  const directory = join(parent, String(process.pid))
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, OWNER), JSON.stringify(identify(process.pid)))
  return directory
}

/** Stops the servers of a run and deletes all it has left. */
export async function removeTestDirectory(directory: string): Promise<void> {
  const servers = join(directory, 'servers')
  if (readState(servers) !== undefined) await (await attachServers(servers)).close({ deleteData: true })
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
  try {
    return isAlive(processIdentity.parse(JSON.parse(readFileSync(join(directory, OWNER), 'utf8'))))
  } catch {
    return false
  }
}

function namesIn(parent: string): string[] {
  try {
    return readdirSync(parent)
  } catch {
    return []
  }
}
