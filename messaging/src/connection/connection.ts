// A supervised AMQP connection, and supervised channels on it. Each is reopened and set up again when it is lost.
import type { ConnectionOptions } from 'node:tls'
import { addressOf, type Server } from '@ims/runtime/server-list'
import { type Tls, tlsTrouble } from '@ims/runtime/tls'
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import type { RabbitmqConfig } from '../config.ts'
import { asError, Misconfigured } from '../errors.ts'
import { type Clock, clockOf, withDeadline } from '../scope.ts'
import type { Service } from '../service.ts'
import { channelEnd, connectionEnd, frameMaxOf, socketOf } from './inside-amqplib.ts'
import { Supervised } from './supervised.ts'

/** An open connection, and whether the broker blocks publishing on it (https://www.rabbitmq.com/docs/connection-blocked). */
export interface Connection {
  readonly model: ChannelModel
  /** The address of the broker, as `host:port`. */
  readonly address: string
  readonly clock: Clock
  blocked: string | undefined
  /** When the last block ended (`Clock.nowMs`). */
  unblockedAtMs: number
  /** The largest frame, in bytes, that the broker accepts. All properties of a message must fit into one. */
  readonly frameMax: number
  /** Closes the connection at once and drops its buffers. */
  drop(reason: Error): void
}

/** Maximum wait for the broker's close-ok of a connection or a channel. An unreachable broker must not delay the shutdown. */
const CLOSE_TIMEOUT_MS = 1_000
const UNEXPLAINED = new Error('closed')

/** Queries and replies are sent on the connection `replies`. Replies to queries are large and best effort, and must not delay durable messages. */
export type Purpose = 'publishing' | 'replies' | 'consuming'

/** Keeps a connection to the broker open. `purpose` is part of its name in the log and in the broker's list of connections. */
export function superviseConnection(
  config: RabbitmqConfig,
  purpose: Purpose,
  service: Service,
): Supervised<Connection> {
  service.meter.count('broker_reconnects', { connection: purpose }, 0)
  const next = inTurn(config.servers, clockOf(service))
  return new Supervised<Connection>({
    name: `connection for ${purpose}`,
    service,
    reconnectMaxMs: config.reconnectMaxMs,
    reopened: () => service.meter.count('broker_reconnects', { connection: purpose }),
    open: (lost) => openConnection(config, next(), `${service.name} ${purpose}`, service, lost),
    where: config.servers.map(addressOf).join(' or '),
    ended: connectionLoss,
    close: closeConnection,
  })
}

/** Creates a function that returns the next server at each call. It starts with a random server, to spread the replicas. */
function inTurn(servers: readonly Server[], clock: Clock): () => Server {
  let turn = Math.floor(clock.random() * servers.length)
  return () => {
    const server = servers[turn % servers.length]
    if (server === undefined) throw new Error('the list of servers is empty')
    turn += 1
    return server
  }
}

/** Opens one connection, to the first server that accepts it. Rejects with the last error if none does. See `openConnection`. */
export async function openFirstConnection(
  config: RabbitmqConfig,
  connectionName: string,
  service: Service,
  lost: (reason: Error) => void,
): Promise<Connection> {
  const next = inTurn(config.servers, clockOf(service))
  for (let untried = config.servers.length; ; untried -= 1) {
    try {
      return await openConnection(config, next(), connectionName, service, lost)
    } catch (error) {
      if (untried <= 1) throw error
    }
  }
}

/** Opens one connection. `lost` is called when it is lost or closed. Rejects with an error that names the server. */
async function openConnection(
  config: RabbitmqConfig,
  server: Server,
  connectionName: string,
  service: Service,
  lost: (reason: Error) => void,
): Promise<Connection> {
  const { tls, connectTimeoutMs } = config
  const { log } = service
  const clock = clockOf(service)
  const late = new AbortController()
  const clearDeadline = clock.after(connectTimeoutMs, () => late.abort())
  const socketOptions = {
    noDelay: true,
    keepAlive: true,
    // Covers TCP, TLS and the whole AMQP handshake. amqplib's own `timeout` starts again with every byte that arrives.
    signal: late.signal,
    clientProperties: { connection_name: connectionName },
    ...(tls === undefined ? {} : verified(tls)),
  }
  const model = await (service.connect ?? connect)(
    {
      protocol: tls === undefined ? 'amqp' : 'amqps',
      hostname: server.host,
      port: server.port,
      username: config.username,
      password: config.password,
      vhost: encodeURIComponent(config.vhost),
      heartbeat: config.heartbeatS,
    },
    socketOptions,
  )
    .catch((error: unknown) => {
      if (late.signal.aborted) throw new Error(`${addressOf(server)}: opening took longer than ${connectTimeoutMs} ms`)
      const trouble = tls === undefined ? undefined : tlsTrouble('RABBITMQ', error)
      const why = trouble ?? asError(error).message
      throw new Error(`${addressOf(server)}: ${why}`, { cause: error })
    })
    .finally(clearDeadline)
  log.info({ server: addressOf(server) }, `${connectionName}: connected to ${addressOf(server)}`)
  const frameMax = frameMaxOf(model)
  const drop = (reason: Error) => void socketOf(model).destroy(reason)
  const address = addressOf(server)
  const connection: Connection = {
    model,
    address,
    clock,
    blocked: undefined,
    unblockedAtMs: 0,
    frameMax,
    drop,
  }
  // An `error` event counts as a loss too, because after some errors amqplib waits for the broker's close-ok without a timeout.
  for (const event of ['error', 'close'] as const)
    model.on(event, () => lost(connectionLoss(connection) ?? at(address, UNEXPLAINED)))
  const closed = connectionLoss(connection)
  if (closed !== undefined) lost(closed)
  model.on('blocked', (why) => {
    connection.blocked = why
    log.warn({ reason: why }, `${connectionName}: the broker blocks publishing`)
  })
  model.on('unblocked', () => {
    connection.blocked = undefined
    connection.unblockedAtMs = clock.nowMs()
    log.info({}, `${connectionName}: the broker accepts messages again`)
  })
  return connection
}

/** Why the connection ended, prefixed with the broker's address. Undefined while it is open. */
function connectionLoss({ model, address }: Connection): Error | undefined {
  const end = connectionEnd(model)
  return end && at(address, end)
}

const at = (address: string, error: Error): Error => new Error(`${address}: ${error.message}`, { cause: error })

type TlsOptions = Pick<ConnectionOptions, 'rejectUnauthorized' | 'ca' | 'cert' | 'key' | 'servername'>

/** Options for tls.connect, which compares the certificate with `servername`, or with the host name or address if it is not set. */
function verified({ ca, cert, key, serverName }: Tls): TlsOptions {
  return {
    // The default, but set explicitly because the environment (NODE_TLS_REJECT_UNAUTHORIZED) can change it.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
}

/** Closes a connection, including one that is lost or does not respond. Never rejects. */
export async function closeConnection({ model, clock }: Connection): Promise<void> {
  try {
    await withDeadline(clock, model.close(), CLOSE_TIMEOUT_MS, 'closing the connection')
  } catch {
    // Already closed, or the broker does not respond. In both cases the socket is destroyed below.
  }
  // amqplib only half-closes the socket of a lost connection. An unresponsive peer would keep the socket open for minutes. The
  // socket is destroyed with an error, because amqplib stops its heartbeat timer only on an error.
  socketOf(model).destroy(new Error('given up'))
}

/** Keeps a confirm channel open on `connection`. `setUp` runs on each new channel before it is used. */
export function superviseChannel(
  connection: Supervised<Connection>,
  name: string,
  config: RabbitmqConfig,
  service: Service,
  setUp: (channel: ConfirmChannel, lost: (reason: Error) => void) => Promise<void>,
): Supervised<ConfirmChannel> {
  const clock = clockOf(service)
  return new Supervised<ConfirmChannel>({
    name,
    service,
    reconnectMaxMs: config.reconnectMaxMs,
    open: async (lost, signal) => {
      const { model } = await connection.whenOpen(signal)
      try {
        return await openChannel(model, lost, setUp, { name, timeoutMs: config.connectTimeoutMs, clock })
      } catch (error) {
        throw error instanceof Misconfigured ? error : (connectionEnd(model) ?? error)
      }
    },
    needs: () => connection.notReady(),
    ended: channelEnd,
    close: (channel) => closeChannel(channel, clock),
  })
}

/** Opens a channel and sets it up. Closes it if either takes too long or fails. */
async function openChannel(
  model: ChannelModel,
  lost: (reason: Error) => void,
  setUp: (channel: ConfirmChannel, lost: (reason: Error) => void) => Promise<void>,
  { name, timeoutMs, clock }: { name: string; timeoutMs: number; clock: Clock },
): Promise<ConfirmChannel> {
  const close = (channel: ConfirmChannel) => closeChannel(channel, clock)
  const opening = model.createConfirmChannel()
  const channel = await withDeadline(clock, opening, timeoutMs, `${name}: opening`).catch((error: unknown) => {
    opening.then(close, () => {})
    throw error
  })
  try {
    await withDeadline(clock, setUp(channel, lost), timeoutMs, `${name}: setting up`)
    // Registered after the set-up, because the error of a failed call is more precise than the loss of the channel.
    channel.on('close', () => lost(channelEnd(channel) ?? UNEXPLAINED))
    const closed = channelEnd(channel)
    if (closed !== undefined) throw closed
    return channel
  } catch (error) {
    // amqplib does not say why a call on a closed channel failed, so the reason of the channel's end is used.
    const reason = error instanceof Misconfigured ? error : (channelEnd(channel) ?? error)
    await close(channel)
    throw reason
  }
}

async function closeChannel(channel: ConfirmChannel, clock: Clock): Promise<void> {
  try {
    await withDeadline(clock, channel.close(), CLOSE_TIMEOUT_MS, 'closing the channel')
  } catch {
    // Already closed by the broker, or together with its connection.
  }
}
