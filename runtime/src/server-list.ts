// A list of servers in one environment variable: `host[:port],host[:port]`.
import { isIPv6 } from 'node:net'
import { z } from 'zod'
import { PORT_MAX, port } from './variables.ts'

export interface Server {
  readonly host: string
  readonly port: number
}

const ENTRY = /^(?:\[(?<address>[^\]]+)\]|(?<name>[\w.-]+))(?::(?<port>\w*))?$/

/** Validates the variable. The result is still text, because the default port comes from another variable. See `serversOf`. */
export const serverList = z.string().superRefine((list, context) => {
  for (const message of problemsOf(list, entryProblem)) context.addIssue({ code: 'custom', message, input: undefined })
})

/** The servers of a valid list. `defaultPort` is the port of entries without one. */
export function serversOf(list: string, defaultPort: number): readonly Server[] {
  return entriesOf(list).map((entry) => {
    // An IPv6 address without brackets has no port.
    const { address, name, port } = (isIPv6(entry) ? undefined : ENTRY.exec(entry)?.groups) ?? {}
    return { host: address ?? name ?? entry, port: port === undefined ? defaultPort : Number(port) }
  })
}

/** One sentence for each entry of a valid list that repeats a server. */
export function duplicateServers(list: string, defaultPort: number): readonly string[] {
  const known = new Set<string>()
  return problemsOf(list, (entry) => {
    const server = serversOf(entry, defaultPort).map(addressOf).join().toLowerCase()
    if (known.has(server)) return `must not repeat ${server}`
    known.add(server)
    return undefined
  })
}

/** `host:port`, with an IPv6 address in brackets. */
export const addressOf = ({ host, port }: Server): string => `${isIPv6(host) ? `[${host}]` : host}:${port}`

const entriesOf = (list: string): readonly string[] => list.split(',').map((entry) => entry.trim())

/** One sentence for each problem. It names an entry by its position, because the text of the entry may contain a password. */
function problemsOf(list: string, problemOf: (entry: string) => string | undefined): readonly string[] {
  const entries = entriesOf(list)
  return entries.flatMap((entry, index) => {
    const problem = problemOf(entry)
    if (problem === undefined) return []
    return entries.length === 1 ? [problem] : [`entry ${index + 1} of ${entries.length} ${problem}`]
  })
}

function entryProblem(entry: string): string | undefined {
  if (entry === '') return 'must not be empty'
  if (isIPv6(entry)) return undefined
  const parts = ENTRY.exec(entry)?.groups
  if (parts === undefined) return 'must be a host name or an address, not a URL'
  if (parts.address !== undefined && !isIPv6(parts.address)) return 'must have an IPv6 address in its brackets'
  if (parts.port !== undefined && !port.safeParse(parts.port).success) return `must have a port from 1 to ${PORT_MAX}`
  return undefined
}
