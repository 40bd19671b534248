// Finds out which process listens on a port, without needing ss or lsof on Linux.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTENING = '0A'

/** Describes who listens on this TCP port: `process 4711 (node server.js)`. Returns undefined when that is unknown. */
export function holderOfPort(port: number): string | undefined {
  return process.platform === 'linux' ? holderFromProc(port) : holderFromLsof(port)
}

function holderFromProc(port: number): string | undefined {
  const listeners = listenersOn(port)
  const [first] = listeners
  if (first === undefined) return undefined
  const pid = pidOfSocket(socketLinks(listeners))
  if (pid !== undefined) return described(pid, readOrEmpty(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim())
  return `a process of the user with uid ${first.uid}, which only that user or root can name`
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

/** The link targets that the descriptors of these sockets have in /proc. */
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

/** The output of the program, or an empty string when it fails. lsof fails when it finds nothing. */
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

// Processes come and go while we read /proc, and we may not read those of other users. Both count as empty.
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
