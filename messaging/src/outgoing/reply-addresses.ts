// Checks that a direct reply-to address is safe. For some forged addresses, RabbitMQ closes the whole connection of the
// publisher.
import { RepeatedLine } from '@ims/runtime/repeated-line'
import type { Message } from 'amqplib'
import type { RabbitmqConfig } from '../config.ts'
import { type Connection, closeConnection, openFirstConnection } from '../connection/connection.ts'
import type { Supervised } from '../connection/supervised.ts'
import { channelError, onThrowAwayChannel } from '../connection/topology.ts'
import { asError } from '../errors.ts'
import { clockOf, type Scope } from '../scope.ts'
import type { Service } from '../service.ts'
import { DIRECT_REPLY_TO, isReplyAddress } from './reply.ts'

/**
 * The first two bytes of an address: the version and the tag of an Erlang process id. The older tag has shorter numbers,
 * so part of the node's name would be read as the process.
 */
const PROCESS_BEGINS = Buffer.from([131, 88])
/** The last bytes of an address: number and creation of the Erlang process that owns the channel. Any value is harmless. */
const PROCESS_BYTES = 12
/** Maximum number of waiting checks. A flood of forged addresses must not block real messages. */
const CHECKS_MAX = 16
/** How long a node counts as unknown before it is checked again, because it may join the cluster later. */
const UNKNOWN_FOR_MS = 10_000
/** The error with which RabbitMQ closes a connection that used an address of an unknown node. */
const INTERNAL_ERROR = /: 541 INTERNAL[_-]ERROR/
/** No queue can have this name. */
const NO_QUEUE = ''
/** Timeout for opening the connection, and for the response. */
const CHECK_TIMEOUT_MS = 2_000

/** When checks fail for the same reason, the log shows the first one, and then a count at most this often. */
const LOGGED_EVERY_MS = 10_000

export class ReplyAddresses {
  readonly #config: RabbitmqConfig
  readonly #service: Service
  /** The nodes that are known to exist, each as the part of a reply address that names it. */
  readonly #nodes = new Set<string>()
  /** Unknown nodes, and until when each counts as unknown (`Clock.nowMs`). */
  readonly #unknown = new Map<string, number>()
  /** Pending checks by node. They run one after the other. */
  readonly #asked = new Map<string, Promise<boolean>>()
  #last: Promise<unknown> = Promise.resolve()
  readonly #unchecked: RepeatedLine

  constructor(config: RabbitmqConfig, service: Service) {
    this.#config = config
    this.#service = service
    this.#unchecked = new RepeatedLine(LOGGED_EVERY_MS, () => clockOf(service).nowMs())
  }

  /**
   * Learns the node that we are connected to. Otherwise the first reply to a requester on that node would wait for a check,
   * which opens a connection. RabbitMQ writes the reply address into a message before it routes the message, so a returned
   * message contains an address of our own channel. Never rejects, because an unknown node is checked later.
   */
  async learnNode({ current: connection }: Pick<Supervised<Connection>, 'current'>): Promise<void> {
    try {
      if (connection === undefined) return
      await onThrowAwayChannel(connection, CHECK_TIMEOUT_MS, async (channel) => {
        await channel.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
        const returned = new Promise<Message>((resolve) => channel.once('return', resolve))
        channel.publish('', NO_QUEUE, Buffer.alloc(0), { mandatory: true, replyTo: DIRECT_REPLY_TO })
        const { replyTo } = (await returned).properties
        const node = isReplyAddress(replyTo) ? nodeOf(replyTo) : undefined
        if (node !== undefined) this.#nodes.add(node)
      })
    } catch (error) {
      this.#service.log.debug({ error: asError(error).message }, 'could not learn the node of the broker')
    }
  }

  /** False if no reply can be sent to this address. A query with such an address is dropped. Does not contact the broker. */
  maySendTo(address: unknown): address is string {
    if (!isReplyAddress(address)) return false
    if (!address.startsWith(DIRECT_REPLY_TO)) return true
    const node = nodeOf(address)
    const untilMs = node === undefined ? undefined : this.#unknown.get(node)
    return node !== undefined && (untilMs === undefined || untilMs < clockOf(this.#service).nowMs())
  }

  /**
   * Whether it is safe to publish to this address. A node not seen before is checked on a separate connection, because
   * RabbitMQ 3 closes a connection that uses an address of an unknown node with 541 (seen on 3.10; RabbitMQ 4.3 returns
   * the message). Also false if `scope` ends before the response.
   */
  async isSafe(address: unknown, scope: Scope): Promise<boolean> {
    if (!this.maySendTo(address)) return false
    if (!address.startsWith(DIRECT_REPLY_TO)) return true
    const node = nodeOf(address)
    if (node === undefined) return false
    if (this.#nodes.has(node)) return true
    const asked = this.#asked.get(node) ?? this.#begin(node, address, scope)
    return asked === undefined ? false : await scope.untilOver(asked, false)
  }

  #begin(node: string, address: string, scope: Scope): Promise<boolean> | undefined {
    if (this.#asked.size >= CHECKS_MAX) return undefined
    const asking = this.#last.then(async () => {
      const isKnown = !scope.isOver && (await this.#ask(address, node))
      this.#asked.delete(node)
      if (isKnown) this.#nodes.add(node)
      return isKnown
    })
    this.#last = asking
    this.#asked.set(node, asking)
    return asking
  }

  #noteUnknown(node: string): void {
    // Forged addresses can name any number of nodes.
    if (this.#unknown.size >= CHECKS_MAX) this.#unknown.clear()
    this.#unknown.set(node, clockOf(this.#service).nowMs() + UNKNOWN_FOR_MS)
  }

  async #ask(address: string, node: string): Promise<boolean> {
    const { name } = this.#service
    try {
      const config = { ...this.#config, connectTimeoutMs: CHECK_TIMEOUT_MS }
      const connection = await openFirstConnection(config, `${name} reply address`, this.#service, (reason) => {
        if (INTERNAL_ERROR.test(reason.message)) this.#noteUnknown(node)
      })
      try {
        await onThrowAwayChannel(connection, CHECK_TIMEOUT_MS, (channel) => channel.checkQueue(address))
        return true
      } catch (error) {
        // 404: the node exists, but the requester does not. An error that ends the connection is not a channel error.
        return channelError.safeParse(error).success
      } finally {
        await closeConnection(connection)
      }
    } catch (error) {
      const { message } = asError(error)
      // A forged address is reported with the message that has it.
      const lines = INTERNAL_ERROR.test(message) ? undefined : this.#unchecked.due(message)
      if (lines !== undefined) this.#service.log.warn({ lines }, `could not check a reply address: ${message}`)
      return false
    }
  }
}

/**
 * The part that names the node in `amq.rabbitmq.reply-to.<process, base64>.<key>`. Undefined if RabbitMQ never writes an
 * address in this form.
 */
function nodeOf(address: string): string | undefined {
  const [process = ''] = address.slice(DIRECT_REPLY_TO.length + 1).split('.')
  const bytes = Buffer.from(process, 'base64')
  if (bytes.toString('base64') !== process || bytes.length <= PROCESS_BYTES) return undefined
  if (!bytes.subarray(0, PROCESS_BEGINS.length).equals(PROCESS_BEGINS)) return undefined
  return bytes.subarray(0, -PROCESS_BYTES).toString('latin1')
}
