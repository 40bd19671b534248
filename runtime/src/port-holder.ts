// Finds the process that listens on a port, on Linux only. The error for a port in use names it.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The pid and command line of the process that listens on TCP port `port` of this host. Undefined when it is not visible. */
export function portHolder(port: number): { pid: number; command: string } | undefined {
  const sockets = new Set(['tcp', 'tcp6'].flatMap((table) => listeningSockets(table, port)))
  if (sockets.size === 0) return undefined
  for (const entry of entriesOf('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const holds = entriesOf(`/proc/${entry}/fd`).some((fd) => sockets.has(linkOf(`/proc/${entry}/fd/${fd}`)))
    if (holds) return { pid: Number(entry), command: textOf(`/proc/${entry}/cmdline`).replaceAll('\0', ' ').trim() }
  }
  return undefined
}

/** The columns of /proc/net/tcp are sl, local address:port in hex, remote, state (0A: listening), … The tenth is the inode. */
function listeningSockets(table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return textOf(`/proc/net/${table}`)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === '0A' && local?.endsWith(`:${hex}`))
    .map((columns) => `socket:[${columns[9]}]`)
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
