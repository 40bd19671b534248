// Connects amqplib to the simulated broker, with amqplib's own connection and channels. Frames are passed as objects
// instead of bytes, with delays, and can be lost.
import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { ChannelModel } from 'amqplib'
import { watchConnections } from '../../messaging/src/connection/inside-amqplib.ts'
import type { Connect } from '../../messaging/src/service.ts'
import type { SimulatedBroker } from './broker.ts'
import type { Process, World } from './world.ts'

const require = createRequire(import.meta.url)
const lib = (name: string) => require(join(dirname(require.resolve('amqplib')), 'lib', `${name}.js`))
// amqplib exports only its entry point, so its classes are loaded by file name.
const { Connection } = lib('connection')
const { ChannelModel: Model } = lib('channel_model')
/** AMQP methods by name, as amqplib numbers them. */
export const methods: Record<string, number> = lib('defs')

/** The fields or properties that amqplib puts into a frame. */
// biome-ignore lint/suspicious/noExplicitAny: amqplib's encoder accepts any value and validates it
export type Fields = Record<string, any>

export interface Frame {
  readonly channel: number
  readonly id?: number | undefined
  readonly fields?: Fields
  readonly size?: number
  readonly content?: Buffer
  /** The message properties of a publish. A publish is one frame here, with its properties and content. */
  readonly properties?: Fields
}

/** Implements the socket methods that amqplib and messaging call. */
class NoSocket {
  readonly #ended: () => void
  constructor(ended: () => void) {
    this.#ended = ended
  }
  on() {
    return this
  }
  cork() {}
  uncork() {}
  end() {
    this.#ended()
  }
  destroy() {
    this.#ended()
  }
}
Object.setPrototypeOf(NoSocket.prototype, Socket.prototype)

class SimulatedConnection extends Connection {
  readonly inbox: Frame[] = []
  readonly #link: Link

  constructor(link: Link) {
    super(new NoSocket(() => link.endedByClient()))
    this.#link = link
  }

  open(_: unknown, opened: (error: unknown) => void): void {
    this.channelMax = 2047
    this.frameMax = this.#link.broker.frameMax
    this.accept = (frame: Frame) => this.channels[frame.channel]?.channel.accept(frame)
    // As in amqplib, frames that arrive right after open-ok are handled before the connection is returned.
    this.read()
    opened(null)
  }

  read(): void {
    try {
      for (let frame = this.recvFrame(); frame; frame = this.recvFrame()) this.accept(frame)
    } catch (error) {
      this.onSocketError(error)
    }
  }

  recvFrame(): Frame | false {
    return this.inbox.shift() ?? false
  }

  freshChannel(channel: unknown): number {
    let id = 1
    while (this.channels[id]) id += 1
    this.channels[id] = { channel, buffer: { end() {} } }
    return id
  }

  releaseChannel(id: number): void {
    this.channels[id] = null
  }

  sendMethod(channel: number, id: number, fields: Frame['fields']): boolean {
    this.#link.up({ channel, id, fields: fields ?? {} })
    return true
  }

  sendMessage(channel: number, id: number, fields: Fields, _: unknown, properties: Fields, content: Buffer): boolean {
    const headers: Record<string, unknown> = {}
    for (const name in properties.headers) headers[name] = properties.headers[name]
    const { contentType, deliveryMode, correlationId, replyTo, expiration, messageId, timestamp, appId } = properties
    const kept = { contentType, deliveryMode, correlationId, replyTo, expiration, messageId, timestamp, appId, headers }
    this.#link.up({ channel, id, fields, properties: kept, content })
    return true
  }
}
watchConnections(SimulatedConnection.prototype as unknown as Parameters<typeof watchConnections>[0])

/** One TCP connection. In each direction, frames arrive in order and with delays. */
export class Link {
  readonly broker: SimulatedBroker
  readonly process: Process
  readonly purpose: string
  readonly #world: World
  #connection: SimulatedConnection | undefined
  #upMs = 0
  #downMs = 0
  /** No frame arrives, and neither side is notified. */
  isBlackHole = false
  #clientGone = false
  #brokerGone = false
  /** Frames that the broker has not read, because it has blocked the connection. */
  readonly unread: Frame[] = []
  /** Called when the broker has read all frames in `unread`. */
  onRead: () => void = () => {}
  #reading = false

  constructor(world: World, process: Process, broker: SimulatedBroker, purpose: string) {
    this.#world = world
    this.process = process
    this.broker = broker
    this.purpose = purpose
  }

  get isOpen(): boolean {
    return !this.#clientGone && !this.#brokerGone && !this.isBlackHole
  }

  get isOver(): boolean {
    return this.#brokerGone
  }

  /** Call this when the handshake is complete at the broker and open-ok is in flight. Calls `done` when open-ok has arrived. */
  opened(done: (error: unknown, model?: ChannelModel) => void): void {
    this.#arrive(() => {
      const connection = new SimulatedConnection(this)
      connection.inbox.push(...this.#early)
      this.#connection = connection
      connection.open({}, (error: unknown) => done(error, error ? undefined : new Model(connection)))
    })
  }

  readonly #early: Frame[] = []

  up(frame: Frame): void {
    if (this.#clientGone) return
    this.#upMs = Math.max(this.#upMs, this.#world.nowMs + this.broker.delayMs())
    this.#world.at(this.#upMs, () => {
      if (!this.#brokerGone && !this.isBlackHole) this.broker.received(this, frame)
    })
  }

  down(...frames: Frame[]): void {
    this.downThen(frames, () => {})
  }

  /** Sends frames to the client. Calls `arrived` when they are in the client's socket, before the client reads them. */
  downThen(frames: readonly Frame[], arrived: () => void): void {
    if (this.#brokerGone) return
    this.#arrive(() => {
      if (this.#connection === undefined) this.#early.push(...frames)
      else this.#connection.inbox.push(...frames)
      arrived()
    }, true)
  }

  #arrive(take: () => void, isFrame = false): void {
    this.#downMs = Math.max(this.#downMs, this.#world.nowMs + this.broker.delayMs())
    this.#world.at(this.#downMs, () => {
      if (this.isBlackHole || this.#clientGone) return
      if (!isFrame) return this.process.post(take)
      take()
      if (this.#reading) return
      this.#reading = true
      this.process.post(() => {
        this.#reading = false
        if (!this.#clientGone) this.#connection?.read()
      })
    })
  }

  /** The client has closed its side. Frames that it sent before still arrive. */
  endedByClient(): void {
    if (this.#clientGone) return
    this.#clientGone = true
    // During an alarm, the broker does not read. It notices that the client has disconnected only when the alarm ends (ADR 0019).
    this.#world.at(Math.max(this.#upMs, this.#world.nowMs + 1), () =>
      this.broker.whenRead(this, () => this.#endBroker()),
    )
  }

  /** The broker closes its side and forgets the connection. */
  #endBroker(): void {
    if (this.#brokerGone) return
    this.#brokerGone = true
    this.broker.lost(this)
  }

  /** The broker closes the connection and forgets it at once. */
  close(replyCode: number, replyText: string): void {
    if (this.#brokerGone) return
    this.down({ channel: 0, id: methods.ConnectionClose, fields: { replyCode, replyText, classId: 0, methodId: 0 } })
    this.#endBroker()
  }

  /** Cuts the connection. Data in flight is lost, and each side notices the loss after its own delay. */
  cut(): void {
    this.isBlackHole = true
    this.#world.at(this.#world.nowMs + this.broker.delayMs(), () => this.#endBroker())
    this.#failClient(this.broker.delayMs(), 'read ECONNRESET')
  }

  /** Drops all frames from now on. Both sides notice by their heartbeat timeouts. */
  swallow(): void {
    this.isBlackHole = true
    this.#world.at(this.#world.nowMs + this.#world.between(2, 3) * this.broker.heartbeatMs, () => this.#endBroker())
    this.#failClient(2 * this.broker.heartbeatMs, 'Heartbeat timeout')
  }

  #failClient(afterMs: number, message: string): void {
    this.#world.at(this.#world.nowMs + afterMs, () =>
      this.process.post(() => {
        if (!this.#clientGone) this.#connection?.onSocketError(new Error(message))
      }),
    )
  }
}

/** Replaces amqplib's `connect` in messaging. */
export function connectTo(world: World, process: Process, broker: SimulatedBroker): Connect {
  return (_, { signal, clientProperties }) =>
    new Promise<ChannelModel>((resolve, reject) => {
      const link = new Link(world, process, broker, clientProperties.connection_name.split(' ').at(-1) ?? '')
      signal.addEventListener('abort', () => {
        link.endedByClient()
        reject(new Error('aborted'))
      })
      world.at(world.nowMs + 3 * broker.delayMs(), () => {
        const refused = broker.accepts(link)
        if (refused !== undefined) process.post(() => reject(new Error(refused)))
        else link.opened((error, model) => (model ? resolve(model) : reject(error)))
        if (refused === undefined) broker.opened(link)
      })
    })
}
