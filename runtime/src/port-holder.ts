// Finds the process that listens on a port, from the files in /proc. On systems without /proc, no process is visible.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTENING = '0A'

/** A listening socket, and the user that it belongs to. */
export interface Listener {
  readonly inode: string
  readonly uid: string
}

/** The pid and command line of the process that listens on TCP port `port` of this host. Undefined when it is not visible. */
export const portHolder = (port: number): { pid: number; command: string } | undefined => holderOf(listenersOn(port))

/** The process that has one of these sockets. Undefined when it is not visible. */
export function holderOf(listeners: readonly Listener[]): { pid: number; command: string } | undefined {
  if (listeners.length === 0) return undefined
  const pid = entriesOf('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((each) => hasOneOf(listeners, each))
  if (pid === undefined) return undefined
  return { pid, command: textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() }
}

/** True when the process `pid` has one of these sockets. */
export function hasOneOf(listeners: readonly Listener[], pid: number): boolean {
  const links = listeners.map(({ inode }) => `socket:[${inode}]`)
  return entriesOf(`/proc/${pid}/fd`).some((descriptor) => links.includes(linkOf(`/proc/${pid}/fd/${descriptor}`)))
}

/** The listening sockets on TCP port `port` of this host. */
export const listenersOn = (port: number): Listener[] =>
  ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listenersIn(textOf(table), port))

/** The listening sockets on `port`, from a table in the format of /proc/net/tcp. */
export function listenersIn(table: string, port: number): Listener[] {
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

// Processes of other users, and processes that have just ended, cannot be read. They count as not visible.
const readable = <T>(read: () => T, otherwise: T): T => {
  try {
    return read()
  } catch {
    return otherwise
  }
}
const entriesOf = (directory: string) => readable(() => readdirSync(directory), [])
const linkOf = (path: string) => readable(() => readlinkSync(path), '')
const textOf = (path: string) => readable(() => readFileSync(path, 'utf8'), '')
