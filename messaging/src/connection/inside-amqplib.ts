// The only file that uses amqplib internals. amqplib handles frames before it returns a connection or a channel, so it
// does not report a close that directly follows the open. This file watches both from their first frame on, and reports
// whether they are open. If amqplib renames an internal that is used here, this file throws.
import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import type { Channel, ChannelModel, Options } from 'amqplib'
import { z } from 'zod'
import { flattenHeaders } from './nested-headers.ts'
import { type Destination, type EncodeTable, publishFrames } from './publish-frames.ts'

/** https://www.rabbitmq.com/amqp-0-9-1-reference#connection.close */
const CONNECTION_CLOSE = (10 << 16) | 50
const connectionClose = z.object({ fields: z.object({ replyCode: z.number(), replyText: z.string() }) })

type Opened = (error: unknown, ok?: unknown) => void
interface Emitter {
  on(event: 'error' | 'close', listener: (error?: Error) => void): unknown
}
interface Internal extends Emitter {
  open(this: Internal, fields: unknown, opened: Opened): void
  recvFrame(this: Internal): false | { readonly id?: unknown }
  freshChannel(this: Internal, channel: Emitter, options: unknown): number
  checkRecv(this: Internal): boolean
  readonly rest: unknown
}

/** Why a connection or a channel ended. Open ones are not in this map. */
const ends = new WeakMap<object, Error>()

const end = (of: object, reason: Error): void => {
  if (!ends.has(of)) ends.set(of, reason)
}

/** Why the connection ended. Undefined while it is open. */
export const connectionEnd = ({ connection }: ChannelModel): Error | undefined => ends.get(connection)

/** Why the channel ended, including the end of its connection. Undefined while it is open. */
export const channelEnd = (channel: Channel): Error | undefined => ends.get(channel)

/** The socket of a connection. */
export function socketOf({ connection }: ChannelModel): Socket {
  const socket: unknown = Reflect.get(connection, 'stream')
  if (!(socket instanceof Socket)) throw changed('stream')
  return socket
}

/** Connections whose socket is currently not read. TCP flow control then stops the broker. */
const paused = new WeakSet<object>()

/** Stops reading the channel's connection until the returned function is called. Heartbeats continue. */
export function pauseReading(channel: Channel): () => void {
  const connection: unknown = Reflect.get(channel, 'connection')
  if (typeof connection !== 'object' || connection === null) throw changed('connection')
  paused.add(connection)
  return () => {
    paused.delete(connection)
    // amqplib resumes reading when its socket emits `readable`.
    const socket: unknown = Reflect.get(connection, 'stream')
    if (!(socket instanceof Socket)) throw changed('stream')
    socket.emit('readable')
  }
}

/** The largest frame, in bytes, that both sides of a connection agreed on. */
export function frameMaxOf({ connection }: ChannelModel): number {
  const bytes: unknown = Reflect.get(connection, 'frameMax')
  if (typeof bytes !== 'number') throw changed('frameMax')
  return bytes
}

const changed = (name: string): Error =>
  new Error(
    `amqplib has changed: its internal ${name} is missing or has another type. Adapt messaging/src/connection/inside-amqplib.ts.`,
  )

/** Loads an internal module of amqplib by file name, because amqplib exports only its entry point. */
export function internal(file: string) {
  const require = createRequire(import.meta.url)
  return require(join(dirname(require.resolve('amqplib')), 'lib', file))
}

const methods = z
  .object({ TxSelect: z.number(), TxSelectOk: z.number(), TxCommit: z.number(), TxCommitOk: z.number() })
  .parse(internal('defs.js'))

/**
 * Makes a channel transactional. Messages published on it take effect only when the returned function commits them.
 * amqplib has no method for this (https://www.rabbitmq.com/amqp-0-9-1-reference#class.tx).
 */
export async function transactional(channel: Channel): Promise<() => Promise<void>> {
  const call = async (method: number, answer: number): Promise<void> => {
    const rpc: unknown = Reflect.get(channel, 'rpc')
    if (typeof rpc !== 'function') throw changed('rpc')
    await rpc.call(channel, method, {}, answer)
  }
  await call(methods.TxSelect, methods.TxSelectOk)
  return () => call(methods.TxCommit, methods.TxCommitOk)
}

/** Watches every connection that `prototype` opens from now on. */
export function watchConnections(prototype: Internal): void {
  const { open, recvFrame, freshChannel, checkRecv } = prototype
  for (const [name, method] of Object.entries({ open, recvFrame, freshChannel, checkRecv }))
    if (typeof method !== 'function') throw changed(name)

  prototype.open = function (fields, opened) {
    this.on('error', (error) => end(this, error ?? new Error('the connection failed')))
    this.on('close', (error) => end(this, error ?? new Error('the connection is closed')))
    // If the broker has already closed the connection, the broker's reason is more precise than the error of amqplib.
    open.call(this, fields, (error, ok) => opened(ends.get(this) ?? error, ok))
  }

  prototype.recvFrame = function () {
    if (paused.has(this)) return false
    // Deeply nested headers would overflow amqplib's stack.
    if (!Buffer.isBuffer(this.rest)) throw changed('rest')
    flattenHeaders(this.rest)
    const frame = recvFrame.call(this)
    if (frame && frame.id === CONNECTION_CLOSE) end(this, closedByBroker(frame))
    return frame
  }

  prototype.checkRecv = function () {
    return checkRecv.call(this) || paused.has(this)
  }

  prototype.freshChannel = function (channel, options) {
    channel.on('error', (error) => end(channel, error ?? new Error('the channel failed')))
    channel.on('close', () => end(channel, ends.get(this) ?? new Error('the channel is closed')))
    return freshChannel.call(this, channel, options)
  }
}

/** The broker's reason for a close. amqplib reports it only for a connection that has finished opening. */
function closedByBroker(frame: unknown): Error {
  const { replyCode, replyText } = connectionClose.parse(frame).fields
  return Object.assign(new Error(`the broker closed the connection: ${replyCode} ${replyText}`), { code: replyCode })
}

interface InternalMux {
  pipeFrom(this: InternalMux, frames: Frames): void
  readonly out: Pick<Writable, 'write' | 'cork' | 'uncork' | 'writableCorked'>
}
interface Frames {
  write(frame: Buffer): boolean
}

/**
 * Combines all frames of one turn of the event loop into one write, because a system call costs more than handling a
 * message. amqplib passes each frame through two streams and writes it separately.
 */
export function gatherWrites(prototype: InternalMux): void {
  if (typeof prototype.pipeFrom !== 'function') throw changed('pipeFrom')
  prototype.pipeFrom = function (frames) {
    const { out } = this
    frames.write = (frame) => {
      if (out.writableCorked === 0) {
        out.cork()
        setImmediate(() => out.uncork())
      }
      return out.write(frame)
    }
  }
}

interface InternalChannel {
  publish(exchange: string, routingKey: string, content: Buffer, options?: Options.Publish): void
  sendMessage(destination: Destination, options: Options.Publish, content: Buffer): void
}
interface InternalSender {
  sendMessage(
    channel: number,
    method: unknown,
    destination: Destination,
    properties: unknown,
    options: Options.Publish,
    content: Buffer,
  ): void
  readonly channels: readonly { readonly buffer: Frames }[]
  readonly frameMax: number
  sentSinceLastCheck: boolean
}

/**
 * Encodes messages with `publishFrames`. Overrides the methods under their own names, so that amqplib can still replace
 * `sendMessage` with a method that throws when a channel or a connection closes.
 */
export function encodeMessages(channel: InternalChannel, connection: InternalSender, encodeTable: EncodeTable): void {
  const used = [
    ['publish', channel.publish],
    ['sendMessage', channel.sendMessage],
    ['sendMessage', connection.sendMessage],
    ['encodeTable', encodeTable],
  ] as const
  for (const [name, method] of used) if (typeof method !== 'function') throw changed(name)
  channel.publish = function (exchange, routingKey, content, options = {}) {
    this.sendMessage({ exchange, routingKey, mandatory: options.mandatory === true }, options, content)
  }
  connection.sendMessage = function (number, _, destination, __, options, content) {
    const pieces = publishFrames({ channel: number, ...destination, options, content }, this.frameMax, encodeTable)
    const frames = this.channels[number]?.buffer
    if (frames === undefined) throw changed('channels')
    for (const piece of pieces) frames.write(piece)
    // amqplib sends a heartbeat only if nothing else was sent.
    this.sentSinceLastCheck = true
  }
}

const { Connection } = internal('connection.js')
encodeMessages(internal('channel_model.js').Channel.prototype, Connection.prototype, internal('codec.js').encodeTable)
watchConnections(Connection.prototype)
gatherWrites(internal('mux.js').Mux.prototype)
