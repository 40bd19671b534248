// Identifies a process by its pid and start time, because the system reuses pids.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { z } from 'zod'

export const processIdentity = z.object({ pid: z.int().positive(), started: z.string().min(1) })
export type ProcessIdentity = z.infer<typeof processIdentity>

/** Identity of the process that has this pid now. Undefined when there is no such process, or only a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  const started = process.platform === 'linux' ? startedOnLinux(pid) : startedByPs(pid)
  return started === undefined ? undefined : { pid, started }
}

/** True while exactly this process exists. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.started === identity.started
}

/** True when SIGSTOP has taken effect, or the process has exited. SIGSTOP takes a moment on a busy machine. Always true without /proc. */
export function isStopped({ pid }: ProcessIdentity): boolean {
  try {
    return process.platform !== 'linux' || /^State:\s+[TZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

/** Sends `signal` to exactly this process, or with `group` to its whole process group. Returns false when it no longer exists. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals, group = false): boolean {
  if (!isAlive(identity)) return false
  try {
    process.kill(group ? -identity.pid : identity.pid, signal)
    return true
  } catch {
    return false
  }
}

/** The start time in clock ticks since boot, and the boot id. Without the boot id, a process of an earlier boot could match. */
function startedOnLinux(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The program name, in parentheses, may contain spaces and parentheses, so count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state] = fields
    const ticks = fields[19]
    if (state === 'Z' || state === 'X' || ticks === undefined) return undefined
    return `${ticks}@${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`
  } catch {
    return undefined
  }
}

function startedByPs(pid: number): string | undefined {
  try {
    const text = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    })
    const match = /^\s*(\S+)\s+(.+?)\s*$/.exec(text)
    return match === null || match[1]?.startsWith('Z') === true ? undefined : match[2]
  } catch {
    return undefined
  }
}
