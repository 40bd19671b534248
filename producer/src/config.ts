// The environment variables of the producer's HTTP interface: address, access, timeouts and limits.
import { PAGE_MAX_ITEMS, seedContracts } from '@ims/messaging'
import { InvalidEnvironment, isLoopback, servedHosts } from '@ims/runtime'
import { ms, whole } from '@ims/runtime/variables'
import { z } from 'zod'
import { keysOrOpen } from './http/api-keys.ts'
import { trustedProxies } from './http/trusted-proxies.ts'

const hostList = z.string().transform((text) =>
  text
    .split(',')
    .map((host) => host.trim())
    .filter((host) => host !== ''),
)

export const httpEnvironment = z
  .object({
    PORT: whole(0, 65_535).default(5000).describe('HTTP port (0: any free one)'),
    HTTP_HOST: z.string().min(1).default('127.0.0.1').describe('address to listen on (0.0.0.0: all of them)'),
    WAIT_FOR_CONSUMERS: z
      .enum(['true', 'false'])
      .default('true')
      .describe('true: starts to listen when each of the four queues has a consumer, or after 30 seconds'),
    RPC_TIMEOUT_MS: ms(30_000).describe('timeout for a reply from consumer four'),
    PREFER_WAIT_MOST_S: whole(0, 3_600).default(30).describe('longest wait for `Prefer: wait`, in seconds'),
    LIST_PAGE_ITEMS: whole(1, PAGE_MAX_ITEMS)
      .default(1_000)
      .describe(
        'number of items on the first page of a streamed list; later pages have up to five times as many while the client waits for them',
      ),
    HTTP_BODY_MOST_BYTES: whole(1, 134_217_728).default(102_400).describe('maximum size of a request body, in bytes'),
    HTTP_REQUEST_TIMEOUT_MS: ms(30_000).describe('timeout for receiving a whole request'),
    HTTP_HEADERS_TIMEOUT_MS: ms(10_000).describe('timeout for receiving the headers of a request'),
    HTTP_HEADERS_MOST_BYTES: whole(1_024, 1_048_576)
      .default(16_384)
      .describe('maximum size of the headers of a request, in bytes'),
    HTTP_KEEP_ALIVE_TIMEOUT_MS: ms(65_000).describe('idle connections are closed after this time'),
    HTTP_STALL_TIMEOUT_MS: ms(60_000).describe(
      'a client that reads nothing of its response for this long is disconnected',
    ),
    HTTP_CONNECTIONS_MOST: whole(1, 1_000_000)
      .optional()
      .describe('maximum number of open connections; not set: derived from the memory'),
    HTTP_ALLOWED_HOSTS: hostList
      .optional()
      .describe(
        'allowed host names of requests, separated by commas, in addition to localhost, 127.0.0.1 and [::1]; *: all. Not set: only those three if HTTP_HOST is a loopback address and API_KEYS is not set, otherwise all',
      ),
    API_KEYS: keysOrOpen
      .optional()
      // An empty list must not disable authentication. If API_KEYS_FILE is set too, it replaces the value `open`.
      .meta({ isSetWhenEmpty: true, fileReplaces: 'open' })
      .describe(
        'API keys, one per line: name, scopes (read, write, admin), SHA-256; open: no key is needed; not set: no key is needed, and HTTP_HOST must be a loopback address. API_KEYS_FILE is read again when it changes',
      ),
    RATE_LIMIT_PER_MINUTE: whole(0, 1_000_000_000)
      .default(0)
      .describe(
        'maximum number of requests per minute from one client (by API key, or by address without a key); 0: no limit',
      ),
    TRUST_PROXY: trustedProxies
      .optional()
      .describe(
        'trusted proxies, whose X-Forwarded-For header names the client: addresses or networks separated by commas, or the number of proxies',
      ),
  })
  .transform((v) => ({
    port: v.PORT,
    host: v.HTTP_HOST,
    /** The contracts whose queues must have a consumer before the producer listens. */
    waitFor: v.WAIT_FOR_CONSUMERS === 'true' ? seedContracts : [],
    rpcTimeoutMs: v.RPC_TIMEOUT_MS,
    preferWaitMaxS: v.PREFER_WAIT_MOST_S,
    listPageItems: v.LIST_PAGE_ITEMS,
    bodyMaxBytes: v.HTTP_BODY_MOST_BYTES,
    requestTimeoutMs: v.HTTP_REQUEST_TIMEOUT_MS,
    headersTimeoutMs: v.HTTP_HEADERS_TIMEOUT_MS,
    headersMaxBytes: v.HTTP_HEADERS_MOST_BYTES,
    keepAliveTimeoutMs: v.HTTP_KEEP_ALIVE_TIMEOUT_MS,
    stallTimeoutMs: v.HTTP_STALL_TIMEOUT_MS,
    configuredConnectionsMax: v.HTTP_CONNECTIONS_MOST,
    isOpen: v.API_KEYS === 'open',
    /** If undefined, no key is needed: the API is open to this machine, or to everybody if `isOpen`. */
    apiKeys: v.API_KEYS === 'open' ? undefined : v.API_KEYS,
    /** The allowed host names. If undefined, all are allowed. */
    servedHosts: servedHostsOf(v),
    /** An error message if other machines can reach the API and neither keys nor `open` are set. Otherwise undefined. */
    unlocked:
      v.API_KEYS === undefined && !isLoopback(v.HTTP_HOST)
        ? `HTTP_HOST=${v.HTTP_HOST} is not a loopback address: set API_KEYS, or API_KEYS=open to allow everybody`
        : undefined,
    /** 0 means no limit. */
    rateLimitPerMinute: v.RATE_LIMIT_PER_MINUTE,
    /** In the format of Express's setting `trust proxy`. */
    trustProxy: v.TRUST_PROXY,
  }))
/**
 * The allowed host names. Undefined means all. Without keys, a foreign web page could use the API through a local user's
 * browser. The check of the host name prevents that.
 */
function servedHostsOf(v: {
  HTTP_ALLOWED_HOSTS?: readonly string[] | undefined
  HTTP_HOST: string
  API_KEYS?: unknown
}): ReadonlySet<string> | undefined {
  if (v.HTTP_ALLOWED_HOSTS !== undefined) return servedHosts(v.HTTP_ALLOWED_HOSTS)
  return v.API_KEYS === undefined && isLoopback(v.HTTP_HOST) ? servedHosts([]) : undefined
}

export type HttpConfig = z.output<typeof httpEnvironment>

/** @throws InvalidEnvironment if other machines could reach the API and API_KEYS is not set */
export function mustBeLocked({ unlocked }: HttpConfig): void {
  if (unlocked !== undefined) throw new InvalidEnvironment([unlocked])
}
