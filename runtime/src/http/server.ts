// The HTTP server of every port. It limits the resources of slow, greedy and silent clients, responds to every request,
// and stops without truncating a response.
import { createServer, type RequestListener, type Server } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { listen } from '../listen.ts'
import type { Log } from '../service.ts'
import { Connection } from './connection.ts'
import { HEADERS_MAX_COUNT, normaliseTarget } from './refusal.ts'
import { answerOn, CONNECT_REFUSED, OVER_LIMIT, reject, rejectionOf, turnAway } from './rejected.ts'
import { Shares } from './shares.ts'

/** Bytes of memory for each byte of a buffered request: the raw bytes, the strings made from them, and the parsed form. */
export const COST_OF_HELD_BYTE = 3
/** Memory of an open connection, without the data received on it. */
export const COST_OF_CONNECTION_BYTES = 24_576

/**
 * During shutdown, clients have this long to close idle keep-alive connections: from the signal on, every response says
 * `Connection: close`. If the server closed such a connection while a request arrives, the client could not know whether
 * the request was accepted.
 */
const CLIENTS_CLOSE_WITHIN_MS = 500
/**
 * During shutdown, a request must arrive completely within this time of its first byte. Otherwise one client that stopped
 * in the middle of a body would use up the whole time of the shutdown.
 */
const REQUESTS_ARRIVE_WITHIN_MS = 5_000
/** During shutdown, a client that reads nothing of its response for this long is disconnected, for the same reason. */
const CLIENTS_READ_WITHIN_MS = 5_000
/** How often connections are checked while stopping. */
const CHECK_IDLE_MS = 50
/** How often the server checks for requests that arrive too slowly, and for clients that do not read. */
const CHECK_TIMEOUTS_MS = 1_000
/** Refused connections are logged at most this often, so that many connections cannot flood the log. */
const LOG_REFUSED_EVERY_MS = 10_000

/** How many connections over the limit get a response. Further connections are closed without a response. */
const REFUSED_MAX = 512

export interface HttpServerConfig {
  readonly host: string
  readonly port: number
  /** The environment variable of the port. The error names it when the port is in use. */
  readonly variable: string
  /** Maximum open connections that an operator configured. Further connections are closed without a response. */
  readonly configuredConnectionsMax?: number | undefined
  /** Maximum open connections, in total and per address. Further connections get 503. */
  readonly connectionsMax: number
  readonly connectionsMaxEach: number
  /** Maximum bytes of buffered requests. One address may use at most half of them. */
  readonly heldMaxBytes: number
  readonly headersMaxBytes: number
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** A client that reads nothing of its response for this long is disconnected. */
  readonly stallTimeoutMs: number
  /** Whether this address is a proxy with many clients behind it. Each of its connections counts as a client of its own. */
  isProxy?(address: string): boolean
}

/** A listening server. `port` is the actual port. `close` resolves when the last response has been received. */
export interface Listening {
  readonly port: number
  close(): Promise<void>
}

export interface HttpServer extends Listening {
  /** Closes all connections at once, even those with requests in flight. */
  closeNow(): Promise<void>
}

/**
 * Listens, and passes `app` one request of each connection at a time. `app` must reject each request for which `refusalOf`
 * returns a problem.
 * @throws PortTaken when the address cannot be used: in use, not local, or not permitted
 */
export async function openHttpServer(app: RequestListener, config: HttpServerConfig, log: Log): Promise<HttpServer> {
  const server = createServer({
    connectionsCheckingInterval: CHECK_TIMEOUTS_MS,
    maxHeaderSize: config.headersMaxBytes,
    requireHostHeader: false, // refusalOf rejects a request without Host, so that it is logged
  })
  server.maxHeadersCount = HEADERS_MAX_COUNT
  // The time from the first byte of a request to its last. It limits clients that send very slowly.
  server.requestTimeout = config.requestTimeoutMs
  server.headersTimeout = Math.min(config.headersTimeoutMs, config.requestTimeoutMs)
  // Longer than load balancers keep an idle connection (usually 60 s). The side that sends requests must close first.
  // Otherwise it may send a request on a connection that is being closed. The number of requests per connection is not
  // limited, because the cost of frequent reconnects exceeds the benefit of better load distribution.
  server.keepAliveTimeout = config.keepAliveTimeoutMs
  server.maxConnections = config.configuredConnectionsMax ?? config.connectionsMax + REFUSED_MAX
  const connections = accept(server, app, config, log)
  let stallMs = config.stallTimeoutMs
  const guard = setInterval(
    () => cutOffStalled(connections.values(), stallMs),
    Math.min(CHECK_TIMEOUTS_MS, config.stallTimeoutMs / 2),
  ).unref()
  const port = await listen(server, config)
  return {
    port,
    close: async () => {
      stallMs = Math.min(stallMs, CLIENTS_READ_WITHIN_MS)
      await closed(server, connections)
      clearInterval(guard)
    },
    closeNow: async () => {
      clearInterval(guard)
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function accept(server: Server, app: RequestListener, config: HttpServerConfig, log: Log): Map<Duplex, Connection> {
  const connections = new Map<Duplex, Connection>()
  const shares = new Shares(config.connectionsMax, config.connectionsMaxEach)
  const held = new Shares(config.heldMaxBytes, config.heldMaxBytes / 2)
  const logRefused = limited((address) =>
    log.warn(
      { address, max: config.configuredConnectionsMax ?? config.connectionsMax, maxEach: config.connectionsMaxEach },
      config.configuredConnectionsMax === undefined
        ? 'connections are refused: the maximum number that fits into memory is open, in total or from one address'
        : 'connections are refused: HTTP_CONNECTIONS_MOST are open',
    ),
  )
  const leaving = new WeakMap<Connection, () => void>()
  /**
   * Closes an idle connection of the address with the most connections, if it has more than `client` would have. Returns
   * false if it closes none.
   */
  const makeRoom = (client: string): boolean => {
    const { largest } = shares
    if (largest === undefined || shares.takenBy(largest) <= shares.takenBy(client) + 1) return false
    for (const connection of connections.values()) {
      if (connection.address !== largest || connection.last !== undefined) continue
      leaving.get(connection)?.()
      connection.socket.resetAndDestroy()
      return true
    }
    return false
  }
  server.on('drop', (data) => logRefused(data?.remoteAddress))
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const client = config.isProxy?.(address) === true ? `${address} ${socket.remotePort}` : address
    if (!shares.take(client) && !(makeRoom(client) && shares.take(client))) {
      logRefused(address)
      return turnAway(socket)
    }
    let isOpen = true
    const leave = () => {
      if (isOpen) shares.giveBack(client)
      isOpen = false
      connections.delete(socket)
    }
    const connection = new Connection(socket, client, {
      held,
      headersMaxBytes: config.headersMaxBytes,
      serve: ({ request, response }) => {
        // Data that the application does not read must not stay in memory.
        if (request.method !== 'POST') request.resume()
        app(request, response)
      },
      overLimit: () => {
        connection.stopReading()
        reject(connection, OVER_LIMIT, log)
      },
    })
    connections.set(socket, connection)
    socket.once('close', leave)
    leaving.set(connection, leave)
  })
  for (const event of ['request', 'checkContinue', 'checkExpectation'] as const)
    server.on(event, (request, response) => {
      normaliseTarget(request)
      connections.get(request.socket)?.found({ request, response })
    })
  server.on('connect', (_, socket) => {
    socket.on('error', () => {})
    connections.get(socket)?.stopReading()
    answerOn(socket, CONNECT_REFUSED, log)
  })
  const rejected = new WeakSet<object>()
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (rejected.has(socket)) return
    rejected.add(socket)
    const problem = rejectionOf(error)
    const connection = connections.get(socket)
    if (problem === undefined || !socket.writable || connection === undefined) return void socket.destroy()
    connection.stopReading()
    reject(connection, problem, log)
  })
  return connections
}

function limited(write: (address: string | undefined) => void): (address: string | undefined) => void {
  let until = 0
  return (address) => {
    if (performance.now() < until) return
    until = performance.now() + LOG_REFUSED_EVERY_MS
    write(address)
  }
}

function cutOffStalled(connections: Iterable<Connection>, stallMs: number): void {
  const now = performance.now()
  // Reset, because in HTTP/1.0 the end of the connection would look like the end of the response.
  for (const connection of connections) if (connection.isStalled(now, stallMs)) connection.socket.resetAndDestroy()
}

async function closed(server: Server, connections: ReadonlyMap<Duplex, Connection>): Promise<void> {
  // Node reads both at each check.
  server.requestTimeout = Math.min(server.requestTimeout, REQUESTS_ARRIVE_WITHIN_MS)
  server.headersTimeout = Math.min(server.headersTimeout, REQUESTS_ARRIVE_WITHIN_MS)
  const until = performance.now() + CLIENTS_CLOSE_WITHIN_MS
  while (performance.now() < until && connections.size > 0) await pause()
  // Do not call the `close` of http.Server: it ends connections whose client has not yet received the response, and
  // stops checking for slow requests.
  const ended = new Promise((resolve) => NetServer.prototype.close.call(server, resolve))
  while (connections.size > 0) {
    for (const { isIdle, socket } of connections.values()) if (isIdle) socket.destroy()
    await pause()
  }
  await ended
  server.close(() => {}) // clears the timers of http.Server
}

const pause = () => new Promise((resolve) => setTimeout(resolve, CHECK_IDLE_MS))
