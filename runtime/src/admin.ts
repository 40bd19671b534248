// The admin port: /livez, /readyz and /metrics, for probes and for Prometheus.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import { z } from 'zod'
import { foreignRequest, isLoopback, servedHosts } from './http/local-hosts.ts'
import { type ProblemDocument, sendProblemDocument } from './http/problem-document.ts'
import { refusalOf } from './http/refusal.ts'
import { type Listening, openHttpServer } from './http/server.ts'
import type { Log, Meter } from './service.ts'
import { sharedForAWhile } from './shared-for-a-while.ts'
import { listeningPort } from './variables.ts'

export const adminEnvironment = (fallbackPort: number) =>
  z
    .object({
      ADMIN_PORT: listeningPort
        .default(fallbackPort)
        .describe('port of /livez, /readyz and /metrics (0: any free one)'),
      ADMIN_HOST: z.string().min(1).default('127.0.0.1').describe('address that the admin port listens on'),
    })
    .transform((v) => ({ port: v.ADMIN_PORT, host: v.ADMIN_HOST }))

/** /metrics is computed at most once in this time. Requests in between share the last result. */
const METRICS_MAX_AGE_MS = 1_000
const CONNECTIONS_MAX = 64
const HELD_MAX_BYTES = 2_097_152
const METHODS = 'GET, HEAD'

/** The reasons why a service is not ready, and warnings for the operator. */
export interface Readiness {
  readonly reasons: readonly string[]
  readonly warnings: readonly string[]
}

interface Page {
  readonly status: number
  readonly type: string
  readonly body: string
}

/**
 * Listens on the admin port. `/livez` responds as long as the event loop runs, and does not query the broker or
 * database. `/readyz` returns 503 with all reasons from `readiness`, or 200 when there are none. The gauge `ready` in
 * `/metrics` has the same state. `close` closes all connections at once.
 * @throws PortTaken
 */
export async function openAdminPort(
  { host, port }: { host: string; port: number },
  { meter, registry }: { meter: Meter; registry: Registry },
  readiness: () => Promise<Readiness>,
  log: Log,
): Promise<Listening> {
  const pages: Readonly<Record<string, () => Promise<Page>>> = {
    '/livez': async () => json(200, { status: 'alive' }),
    '/readyz': async () => readyPage(await readiness()),
    '/metrics': sharedForAWhile(async () => {
      meter.observe('ready', (await readiness()).reasons.length === 0 ? 1 : 0)
      return { status: 200, type: registry.contentType, body: await registry.metrics() }
    }, METRICS_MAX_AGE_MS),
  }
  const hosts = isLoopback(host) ? servedHosts([]) : undefined
  const listening = await openHttpServer(
    (request, response) => {
      answer(pages, hosts, request, response).catch((error) => {
        log.error({ error: String(error) }, 'the admin port could not respond')
        response.destroy()
      })
    },
    {
      host,
      port,
      variable: 'ADMIN_PORT',
      connectionsMax: CONNECTIONS_MAX,
      connectionsMaxEach: CONNECTIONS_MAX / 2,
      heldMaxBytes: HELD_MAX_BYTES,
      headersMaxBytes: 16_384,
      headersTimeoutMs: 10_000,
      requestTimeoutMs: 10_000,
      keepAliveTimeoutMs: 65_000,
      stallTimeoutMs: 30_000,
    },
    log,
  )
  return { port: listening.port, close: () => listening.closeNow() }
}

async function answer(
  pages: Readonly<Record<string, () => Promise<Page>>>,
  hosts: ReadonlySet<string> | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('X-Request-Id', randomUUID())
  const refusal = refusalOf(request) ?? (hosts && foreignRequest(request.headers, hosts))
  if (refusal !== undefined) return sendProblemDocument(response, refusal)
  const path = request.url?.split('?', 1)[0] ?? '/'
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  if (page === undefined) return sendProblemDocument(response, NOT_FOUND)
  if (request.method !== 'GET' && request.method !== 'HEAD') return sendProblemDocument(response, METHOD_NOT_ALLOWED)
  const { status, type, body } = await page()
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body)
}

const NOT_FOUND: ProblemDocument = {
  status: 404,
  kind: 'not-found',
  title: 'Not found',
  detail: 'There is nothing at this path. The admin port serves /livez, /readyz and /metrics.',
}
const METHOD_NOT_ALLOWED: ProblemDocument = {
  status: 405,
  kind: 'method-not-allowed',
  title: 'Method not allowed',
  detail: `Only ${METHODS} are allowed.`,
  headers: { Allow: METHODS },
}

function readyPage({ reasons, warnings }: Readiness): Page {
  const shownWarnings = warnings.length === 0 ? {} : { warnings }
  return reasons.length === 0
    ? json(200, { status: 'ready', ...shownWarnings })
    : json(503, { status: 'not ready', reasons, ...shownWarnings })
}

const json = (status: number, body: object): Page => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(body)}\n`,
})
