// The HTTP server: starts listening, and stops without cutting off a request in hand.
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { Misconfigured, type Service } from '@ims/messaging'
import { z } from 'zod'
import type { HttpConfig } from './config.ts'

/** How often, while stopping, connections are looked for that have become idle. */
const LOOK_FOR_IDLE_MS = 50

/** How often requests are looked for that take too long to arrive. */
const CHECK_TIMEOUTS_MS = 1_000

/** A listening server: `port` is the one it really has. `close` resolves when the last request is answered. */
export interface Listening {
  readonly port: number
  close(): Promise<void>
}

/**
 * Listens on `config.host` and `config.port`.
 * @throws Misconfigured when that address cannot be had: in use, not ours, not permitted
 */
export async function listen(
  app: RequestListener,
  config: HttpConfig,
  { log }: Pick<Service, 'log'>,
): Promise<Listening> {
  const server = createServer({ connectionsCheckingInterval: CHECK_TIMEOUTS_MS }, app)
  server.requestTimeout = config.requestTimeoutMs
  server.headersTimeout = Math.min(config.headersTimeoutMs, config.requestTimeoutMs)
  server.keepAliveTimeout = config.keepAliveTimeoutMs
  try {
    server.listen({ port: config.port, host: config.host, backlog: 1_024 })
    await once(server, 'listening')
  } catch (error) {
    throw explained(error, config)
  }
  const port = portOf(server)
  log.info({ host: config.host, port }, `listening on http://${config.host}:${port}`)
  return { port, close: () => closed(server) }
}

async function closed(server: Server): Promise<void> {
  // A connection kept alive by a response that began before the stop becomes idle only when that is over.
  const looking = setInterval(() => server.closeIdleConnections(), LOOK_FOR_IDLE_MS)
  try {
    await new Promise((resolve) => server.close(resolve))
  } finally {
    clearInterval(looking)
  }
}

const address = z.object({ port: z.int() })
const portOf = (server: Server): number => address.parse(server.address()).port

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is in use by another process. Stop that, or set PORT to a free one.',
  EACCES: 'this user may not use it. Set PORT to one above 1023.',
  EADDRNOTAVAIL: 'this machine has no such address. Set HTTP_HOST to one of its own.',
  ENOTFOUND: 'this host name is not known. Set HTTP_HOST to an address of this machine.',
}

function explained(error: unknown, { host, port }: HttpConfig): unknown {
  const { data } = z.object({ code: z.string() }).safeParse(error)
  const why = data && WHY[data.code]
  return why === undefined ? error : new Misconfigured(`cannot listen on port ${port} of ${host}: ${why}`)
}
