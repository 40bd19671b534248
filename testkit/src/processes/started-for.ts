// Finds every process that was started for a folder, even if its starter died before it wrote the pid down.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { identify, type ProcessIdentity } from './process-identity.ts'

/** Set in the environment before the process exists and inherited by its children, so a search never misses a process. */
const VARIABLE = 'IMS_STARTED_FOR'

/** The variable that marks a process as started for this folder. */
export function startedFor(folder: string): Record<string, string> {
  return { [VARIABLE]: folder }
}

export interface Found extends ProcessIdentity {
  /** False when the parent of this process was also found. */
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

// Processes come and go while we read /proc, and we may not read those of other users.
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
