// Finds the process that listens on a port. On Linux this needs neither ss nor lsof.
import { execFileSync } from 'node:child_process'
import { hasOneOf, holderOf, listenersOn } from '@ims/runtime/port-holder'

/** Describes the process that listens on this TCP port: `process 4711 (node server.js)`. Returns undefined when it is unknown. */
export function holderOfPort(port: number): string | undefined {
  return process.platform === 'linux' ? holderFromProc(port) : holderFromLsof(port)
}

function holderFromProc(port: number): string | undefined {
  const listeners = listenersOn(port)
  const [first] = listeners
  if (first === undefined) return undefined
  const holder = holderOf(listeners)
  if (holder !== undefined) return described(holder.pid, holder.command)
  return `a process of the user with uid ${first.uid} (only that user or root can see which one)`
}

/** True when this process, which must belong to our user, listens on this TCP port. */
export function listensOn(pid: number, port: number): boolean {
  if (process.platform === 'linux') return hasOneOf(listenersOn(port), pid)
  return output('lsof', ['-nP', '-t', '-a', '-p', String(pid), ...lsofOf(port)]) !== ''
}

function holderFromLsof(port: number): string | undefined {
  const [pid] = output('lsof', ['-nP', '-t', ...lsofOf(port)]).split('\n')
  return pid === undefined || pid === '' ? undefined : described(Number(pid), output('ps', ['-o', 'args=', '-p', pid]))
}

const lsofOf = (port: number): string[] => [`-iTCP:${port}`, '-sTCP:LISTEN']

/** The output of the program, or an empty string when it fails. lsof also fails when it finds nothing. */
function output(program: string, args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}

function described(pid: number, command: string): string {
  const short = command.length > 120 ? `${command.slice(0, 117)}...` : command
  return short === '' ? `process ${pid}` : `process ${pid} (${short})`
}
