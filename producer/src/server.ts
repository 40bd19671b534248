// The HTTP server: starts listening, keeps slow and greedy clients in bounds, and stops without cutting off a request in hand.
import { createServer, type RequestListener, type Server } from 'node:http'
import type { Service } from '@ims/messaging'
import { listen as listenOn } from '@ims/runtime'
import type { HttpConfig } from './config.ts'
import { answerRejected } from './rejected.ts'

/**
 * Longest time, when stopping, for connections kept alive to end by themselves: from the signal on, every answer says
 * `Connection: close`. Whoever is cut off with a request on the way cannot know whether it was taken.
 */
const FAREWELL_MOST_MS = 500

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
 * @throws PortTaken when that address cannot be had: in use, not ours, not permitted
 */
export async function listen(
  app: RequestListener,
  config: HttpConfig,
  { log }: Pick<Service, 'log'>,
): Promise<Listening> {
  const server = createServer(
    { connectionsCheckingInterval: CHECK_TIMEOUTS_MS, maxHeaderSize: config.headersMostBytes },
    app,
  )
  // From the first byte of a request to its last: a client that sends drop by drop holds nothing for longer.
  server.requestTimeout = config.requestTimeoutMs
  server.headersTimeout = Math.min(config.headersTimeoutMs, config.requestTimeoutMs)
  // Longer than load balancers keep an idle connection (60 s mostly): the side that closes first must be the one that sends,
  // or a request is sent into a connection that is just being closed. Requests on one connection are not counted: to make a
  // client connect again and again costs more than it spreads the load.
  server.keepAliveTimeout = config.keepAliveTimeoutMs
  // Each costs memory and a file descriptor, and a client may hold one for as long as the timeouts allow.
  server.maxConnections = config.connectionsMost
  answerRejected(server, log)
  const port = await listenOn(server, { host: config.host, port: config.port, variable: 'PORT' })
  log.info({ host: config.host, port }, `listening on http://${config.host}:${port}`)
  return { port, close: () => closed(server) }
}

async function closed(server: Server): Promise<void> {
  await withoutConnections(server, FAREWELL_MOST_MS)
  // A connection kept alive by a response that began before the stop becomes idle only when that is over.
  const looking = setInterval(() => server.closeIdleConnections(), LOOK_FOR_IDLE_MS)
  try {
    await new Promise((resolve) => server.close(resolve))
  } finally {
    clearInterval(looking)
  }
}

/** Resolves when no connection is open, or after `mostMs`. */
async function withoutConnections(server: Server, mostMs: number): Promise<void> {
  const until = performance.now() + mostMs
  while (performance.now() < until && (await connectionsOf(server)) > 0) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_FOR_IDLE_MS))
  }
}

const connectionsOf = (server: Server): Promise<number> =>
  new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  )
