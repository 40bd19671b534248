// Protects ports without authentication on this machine from web pages that use DNS rebinding or cross-site requests.
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4 } from 'node:net'
import type { ProblemDocument } from './problem-document.ts'

const LOCAL_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]']
/** In the configured list, this entry allows any host name. */
const ANY_HOST = '*'

/** Whether only this machine can reach a server on `host`. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

/** The host names that are served: those of this machine, and `configured`. Undefined means all names. */
export function servedHosts(configured: readonly string[]): ReadonlySet<string> | undefined {
  if (configured.includes(ANY_HOST)) return undefined
  return new Set([...LOCAL_HOSTS, ...configured.map((host) => host.toLowerCase())])
}

/**
 * Returns a problem if a request may come from a foreign web page: from another host or site, or for a host name that is
 * not in `hosts`, because a page can point its own name to any address. `variable` is the environment variable that adds
 * names to `hosts`. The problem mentions it.
 */
export function foreignRequest(
  { host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders,
  hosts: ReadonlySet<string>,
  variable?: string,
): ProblemDocument | undefined {
  if (host !== undefined && !hosts.has(nameOf(host))) {
    const hint = variable === undefined ? '' : ` Add it to ${variable}.`
    return forbidden(`This host name is not served here.${hint}`)
  }
  if (origin !== undefined && !hosts.has(nameOf(URL.parse(origin)?.host ?? '')))
    return forbidden('Requests from web pages of other hosts are not allowed.')
  if (site === 'cross-site') return forbidden('Requests from web pages of other sites are not allowed.')
  return undefined
}

/** The host name without its port and without a trailing dot. */
const nameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')

const forbidden = (detail: string): ProblemDocument => ({
  status: 403,
  kind: 'forbidden',
  title: 'Not permitted',
  detail,
})
