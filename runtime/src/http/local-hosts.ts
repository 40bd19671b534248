// Keeps web pages out of ports that are open to whoever is on this machine: DNS rebinding and cross-site requests.
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4 } from 'node:net'
import type { ProblemDocument } from './problem-document.ts'

const LOCAL_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]']
/** In the configured list: whatever the host is called. */
const ANY_HOST = '*'

/** Whether only this machine can reach what listens on `host`. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

/** The hosts that are served: those that this machine has for itself, and `configured` ones. Undefined: all. */
export function servedHosts(configured: readonly string[]): ReadonlySet<string> | undefined {
  if (configured.includes(ANY_HOST)) return undefined
  return new Set([...LOCAL_HOSTS, ...configured.map((host) => host.toLowerCase())])
}

/**
 * Refuses what a web page of somebody else has sent: for a name that is not one of `hosts`, because a page can give its own
 * name any address, or from another site. `variable` is what an operator may add names to.
 */
export function foreignRequest(
  { host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders,
  hosts: ReadonlySet<string>,
  variable?: string,
): ProblemDocument | undefined {
  if (host !== undefined && !hosts.has(nameOf(host))) {
    const mend = variable === undefined ? '' : ` Add it to ${variable}.`
    return forbidden(`This host name is not served here.${mend}`)
  }
  if (origin !== undefined && !hosts.has(nameOf(URL.parse(origin)?.host ?? '')))
    return forbidden('Web pages of other hosts are not served.')
  if (site === 'cross-site') return forbidden('Web pages of other sites are not served.')
  return undefined
}

/** Without port, and without the dot that may end a name. */
const nameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')

const forbidden = (detail: string): ProblemDocument => ({
  status: 403,
  kind: 'forbidden',
  title: 'Not permitted',
  detail,
})
