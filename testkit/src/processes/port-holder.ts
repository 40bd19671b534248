// Finds the process that listens on a port. On Linux this needs neither ss nor lsof.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTENING = '0A'

/** Describes the process that listens on this TCP port: `process 4711 (node server.js)`. Returns undefined when it is unknown. */
export function holderOfPort(port: number): string | undefined {
  return process.platform === 'linux' ? holderFromProc(port) : holderFromLsof(port)
}

function holderFromProc(port: number): string | undefined {
  const listeners = listenersOn(port)
  const [first] = listeners
  if (first === undefined) return undefined
  const pid = pidOfSocket(socketLinks(listeners))
  if (pid !== undefined) return described(pid, readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim())
  return `a process of the user with uid ${first.uid} (only that user or root can see which one)`
}

/** True when this process, which must belong to our user, listens on this TCP port. */
export function listensOn(pid: number, port: number): boolean {
  if (process.platform !== 'linux')
    return output('lsof', ['-nP', '-t', '-a', '-p', String(pid), ...lsofOf(port)]) !== ''
  const links = socketLinks(listenersOn(port))
  return namesIn(`/proc/${pid}/fd`).some((descriptor) => links.has(linkOrEmpty(`/proc/${pid}/fd/${descriptor}`)))
}

/** The listening sockets on `port`, from a table in the format of /proc/net/tcp. */
export function listenersIn(table: string, port: number): { inode: string; uid: string }[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, , state, , , , uid, , inode] = line.trim().split(/\s+/)
      const matches = local?.endsWith(`:${hexPort}`) === true && state === LISTENING
      return matches && inode !== undefined && uid !== undefined ? [{ inode, uid }] : []
    })
}

function listenersOn(port: number): { inode: string; uid: string }[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listenersIn(readOrEmpty(table), port))
}

/** The names of these sockets in /proc, as the targets of file descriptor links. */
function socketLinks(listeners: readonly { inode: string }[]): Set<string> {
  return new Set(listeners.map(({ inode }) => `socket:[${inode}]`))
}

function pidOfSocket(links: Set<string>): number | undefined {
  for (const pid of namesIn('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of namesIn(`/proc/${pid}/fd`)) {
      if (links.has(linkOrEmpty(`/proc/${pid}/fd/${descriptor}`))) return Number(pid)
    }
  }
  return undefined
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

// A process may end while we read /proc, and those of other users cannot be read. Both count as empty.
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function linkOrEmpty(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
