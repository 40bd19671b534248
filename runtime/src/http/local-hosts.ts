// Protects ports that are open to local users from web pages: DNS rebinding and cross-site requests.
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4 } from 'node:net'
import type { ProblemDocument } from './problem-document.ts'

const LOCAL_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]']
/** In the configured list: any host name. */
const ANY_HOST = '*'

/** Whether only this machine can reach a server on `host`. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

/** The served host names: those of this machine itself, and `configured` ones. Undefined means all. */
export function servedHosts(configured: readonly string[]): ReadonlySet<string> | undefined {
  if (configured.includes(ANY_HOST)) return undefined
  return new Set([...LOCAL_HOSTS, ...configured.map((host) => host.toLowerCase())])
}

/**
 * Rejects requests of foreign web pages: requests for a name not in `hosts`, because a page can point its own name to
 * any address, and requests from another site. `variable` is where an operator can add names.
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

/** Without the port, and without a trailing dot. */
const nameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')

const forbidden = (detail: string): ProblemDocument => ({
  status: 403,
  kind: 'forbidden',
  title: 'Not permitted',
  detail,
})
