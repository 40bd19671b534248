// A supervised AMQP connection, and supervised channels on it: each is opened again, with its whole set-up, when it is lost.
import { Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { withDeadline } from './backoff.ts'
import type { RabbitmqConfig } from './config.ts'
import { flattenHeaders } from './nested-headers.ts'
import { addressOf, type Server } from './server-list.ts'
import type { Service } from './service.ts'
import { Supervised } from './supervised.ts'
import { type Tls, tlsTrouble } from './tls.ts'

/** An open connection, and whether the broker blocks publishing on it (https://www.rabbitmq.com/docs/connection-blocked). */
export interface Connection {
  readonly model: ChannelModel
  blocked: string | undefined
  /** Makes one write to the socket of all that is written until the event loop turns: a system call costs more than a message. */
  gatherWrites(): void
}

/** Longest wait for the broker's close-ok, of a connection or a channel: a broker that is gone must not delay the exit. */
const CLOSE_TIMEOUT_MS = 1_000

/** Requests that ask for a list travel with the replies: large and best effort, they must not hold up what has to be durable. */
export type Purpose = 'publishing' | 'replies' | 'consuming'

/** Keeps a connection to the broker open; `purpose` names it in the broker's list of connections and in the log. */
export function superviseConnection(
  config: RabbitmqConfig,
  purpose: Purpose,
  service: Service,
): Supervised<Connection> {
  service.meter.count('broker_reconnects', { connection: purpose }, 0)
  const next = inTurn(config.servers)
  return new Supervised<Connection>({
    name: `connection for ${purpose}`,
    log: service.log,
    reconnectMostMs: config.reconnectMostMs,
    reopened: () => service.meter.count('broker_reconnects', { connection: purpose }),
    open: (lost) => openConnection(config, next(), `${service.name} ${purpose}`, service, lost),
    close: closeConnection,
  })
}

/** The next server at each call, starting with a random one: replicas spread over the servers. */
function inTurn(servers: readonly Server[]): () => Server {
  let turn = Math.floor(Math.random() * servers.length)
  return () => {
    const server = servers[turn % servers.length]
    if (server === undefined) throw new Error('there is no server to connect to')
    turn += 1
    return server
  }
}

/** Opens one connection to the first server that accepts it. Rejects when none does; see `openConnection`. */
export async function openFirstConnection(
  config: RabbitmqConfig,
  connectionName: string,
  service: Service,
  lost: (reason: Error) => void,
): Promise<Connection> {
  const next = inTurn(config.servers)
  for (let untried = config.servers.length; ; untried -= 1) {
    try {
      return await openConnection(config, next(), connectionName, service, lost)
    } catch (error) {
      if (untried <= 1) throw error
    }
  }
}

/** Opens one connection; `lost` is called when it is over. Rejects with an error that names the server. */
async function openConnection(
  config: RabbitmqConfig,
  server: Server,
  connectionName: string,
  { log }: Service,
  lost: (reason: Error) => void,
): Promise<Connection> {
  const { tls } = config
  const model = await connect(
    {
      protocol: tls === undefined ? 'amqp' : 'amqps',
      hostname: server.host,
      port: server.port,
      username: config.username,
      password: config.password,
      vhost: encodeURIComponent(config.vhost),
      heartbeat: config.heartbeatS,
    },
    {
      noDelay: true,
      keepAlive: true,
      // Covers TCP and the whole AMQP handshake: a peer that accepts and then says nothing is given up as well.
      timeout: config.connectTimeoutMs,
      clientProperties: { connection_name: connectionName },
      ...(tls === undefined ? {} : verified(tls)),
    },
  ).catch((error: unknown) => {
    const trouble = tls === undefined ? undefined : tlsTrouble(error)
    const why = trouble ?? (error instanceof Error ? error.message : String(error))
    throw new Error(`${addressOf(server)}: ${why}`, { cause: error })
  })
  log.info({ server: addressOf(server) }, `${connectionName}: connected to ${addressOf(server)}`)
  guardReading(model)
  const connection: Connection = { model, blocked: undefined, gatherWrites: gathering(socketOf(model)) }
  let reason = new Error('closed by the broker')
  model.on('error', (error) => {
    reason = error
  })
  model.on('close', () => lost(reason))
  model.on('blocked', (why) => {
    connection.blocked = why
    log.warn({ reason: why }, `${connectionName}: the broker blocks publishing`)
  })
  model.on('unblocked', () => {
    connection.blocked = undefined
    log.info({}, `${connectionName}: the broker takes messages again`)
  })
  return connection
}

/** Lets amqplib read no frame that would overflow its stack; it has no hook for that, so its own method is stood in front of. */
function guardReading({ connection }: ChannelModel): void {
  const receive: unknown = Reflect.get(connection, 'recvFrame')
  if (typeof receive !== 'function') return
  Reflect.set(connection, 'recvFrame', () => {
    const received: unknown = Reflect.get(connection, 'rest')
    if (Buffer.isBuffer(received)) flattenHeaders(received)
    return Reflect.apply(receive, connection, [])
  })
}

type TlsOptions = Pick<ConnectionOptions, 'rejectUnauthorized' | 'ca' | 'cert' | 'key' | 'servername'>

/** For tls.connect, which compares the certificate with `servername`, or else with the host: name or address. */
function verified({ ca, cert, key, serverName }: Tls): TlsOptions {
  return {
    // Said although it is the default: the environment (NODE_TLS_REJECT_UNAUTHORIZED) can change that.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
}

/** amqplib does not tell its socket to the outside. */
function socketOf({ connection }: ChannelModel): Socket | undefined {
  const socket: unknown = Reflect.get(connection, 'stream')
  return socket instanceof Socket ? socket : undefined
}

function gathering(socket: Socket | undefined): () => void {
  let gathers = false
  const flush = () => {
    gathers = false
    socket?.uncork()
  }
  return () => {
    if (gathers) return
    gathers = true
    socket?.cork()
    setImmediate(flush)
  }
}

/** Closes a connection, also one that is lost or silent. Never rejects. */
export async function closeConnection({ model }: Connection): Promise<void> {
  try {
    await withDeadline(model.close(), CLOSE_TIMEOUT_MS, 'closing the connection')
  } catch {
    // Already closed, or the broker is silent: either way only the socket is left to give up.
  }
  // amqplib only half-closes the socket of a lost connection; a peer that never answers would keep it for many minutes.
  // With an error, since amqplib stops its heartbeat timer only when it hears of one.
  socketOf(model)?.destroy(new Error('given up'))
}

/** Keeps a confirm channel open on `connection`; `setUp` runs on each new channel, before anyone is given it. */
export function superviseChannel(
  connection: Supervised<Connection>,
  name: string,
  config: RabbitmqConfig,
  service: Service,
  setUp: (channel: ConfirmChannel, lost: (reason: Error) => void) => Promise<void>,
): Supervised<ConfirmChannel> {
  return new Supervised<ConfirmChannel>({
    name,
    log: service.log,
    reconnectMostMs: config.reconnectMostMs,
    open: async (lost, signal) => {
      const { model } = await connection.whenOpen(signal)
      return await withDeadline(openChannel(model, lost, setUp), config.connectTimeoutMs, `${name}: opening`)
    },
    close: closeChannel,
  })
}

async function openChannel(
  model: ChannelModel,
  lost: (reason: Error) => void,
  setUp: (channel: ConfirmChannel, lost: (reason: Error) => void) => Promise<void>,
): Promise<ConfirmChannel> {
  const channel = await model.createConfirmChannel()
  let reason = new Error('the channel was closed with its connection')
  let state: 'setting up' | 'open' | 'closed' = 'setting up'
  channel.on('error', (error) => {
    reason = error
  })
  channel.on('close', () => {
    // While it is set up, the call that failed tells the reason better than the loss of the channel that followed.
    if (state === 'open') lost(reason)
    state = 'closed'
  })
  try {
    await setUp(channel, lost)
    if (isClosed(state)) throw reason
    state = 'open'
    return channel
  } catch (error) {
    await closeChannel(channel)
    throw error
  }
}

/** A function, because the compiler does not know that the state changes while it waits. */
const isClosed = (state: string): boolean => state === 'closed'

async function closeChannel(channel: ConfirmChannel): Promise<void> {
  try {
    await withDeadline(channel.close(), CLOSE_TIMEOUT_MS, 'closing the channel')
  } catch {
    // Already closed by the broker or with its connection.
  }
}
