// Finds every process that was started for a folder, even if its parent died before it recorded the pid.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { identify, type ProcessIdentity } from './process-identity.ts'

/** This variable is in the environment from the start, and child processes inherit it, so the search misses no process. */
const VARIABLE = 'IMS_STARTED_FOR'

/** The variable that marks a process as started for this folder. */
export function startedFor(folder: string): Record<string, string> {
  return { [VARIABLE]: folder }
}

export interface Found extends ProcessIdentity {
  /** False when the parent of this process was found too. */
  readonly isRoot: boolean
}

/** The processes of our user that were started for exactly this folder, and their descendants. */
export function processesStartedFor(folder: string): Found[] {
  const found = process.platform === 'linux' ? foundInProc(folder) : foundByPs(folder)
  const pids = new Set(found.map(({ pid }) => pid))
  return found.flatMap(({ pid, parent }) => {
    const identity = pid === process.pid ? undefined : identify(pid)
    return identity === undefined ? [] : [{ ...identity, isRoot: !pids.has(parent) }]
  })
}

interface Listed {
  readonly pid: number
  readonly parent: number
}

function foundInProc(folder: string): Listed[] {
  const entry = `${VARIABLE}=${folder}`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => readOrEmpty(`/proc/${name}/environ`).split('\0').includes(entry))
    .map((name) => {
      const stat = readOrEmpty(`/proc/${name}/stat`)
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return { pid: Number(name), parent: Number(parent) }
    })
}

function foundByPs(folder: string): Listed[] {
  const lines = execFileSync('ps', ['-axEwwo', 'pid=,ppid=,command='], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  return lines
    .split('\n')
    .filter((line) => `${line} `.includes(` ${VARIABLE}=${folder} `))
    .map((line) => {
      const [pid, parent] = line.trim().split(/\s+/)
      return { pid: Number(pid), parent: Number(parent) }
    })
}

// A process may end while we read /proc, and those of other users cannot be read.
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
