// Which direct reply-to addresses are safe to reply to. RabbitMQ closes the whole connection of a publisher that uses
// certain addresses it did not create.
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
 * Version and kind of an address, as every broker writes it. The older kind has shorter numbers: read as this kind,
 * part of the node's name would be taken for the process.
 */
const PROCESS_BEGINS = Buffer.from([131, 88])
/** Number and creation of the Erlang process that owns the channel: the end of an address. Any value is harmless. */
const PROCESS_BYTES = 12
/** Maximum number of waiting checks. A flood of forged addresses must not block real messages. */
const QUESTIONS_MAX = 16
/** How long a node counts as unknown without a new check. It may be about to join the cluster. */
const UNKNOWN_FOR_MS = 10_000
/** With this RabbitMQ closes a connection that used an address of an unknown node. */
const INTERNAL_ERROR = /: 541 INTERNAL[_-]ERROR/
/** No queue can have this name. */
const NO_QUEUE = ''
/** Longest time for opening the connection, and for the response. */
const QUESTION_TIMEOUT_MS = 2_000

export class ReplyAddresses {
  readonly #config: RabbitmqConfig
  readonly #service: Service
  /** The part of an address that names a node of the broker, for all nodes known to exist. */
  readonly #nodes = new Set<string>()
  /** Nodes that were found unknown, with the time until which that counts, by the clock. */
  readonly #unknown = new Map<string, number>()
  /** Nodes being checked, one after the other. */
  readonly #asked = new Map<string, Promise<boolean>>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(config: RabbitmqConfig, service: Service) {
    this.#config = config
    this.#service = service
  }

  /**
   * Learns the node that we are connected to, so that the first reply to a requester there does not wait for a check,
   * which opens a connection. RabbitMQ writes the reply address into a message before it routes it, so a message that it
   * returns brings back an address of our own channel. Never rejects: an unknown node is checked later.
   */
  async learnNode({ current: connection }: Pick<Supervised<Connection>, 'current'>): Promise<void> {
    try {
      if (connection === undefined) return
      await onThrowAwayChannel(connection, QUESTION_TIMEOUT_MS, async (channel) => {
        await channel.consume(DIRECT_REPLY_TO, () => {}, { noAck: true })
        const returned = new Promise<Message>((resolve) => channel.once('return', resolve))
        channel.publish('', NO_QUEUE, Buffer.alloc(0), { mandatory: true, replyTo: DIRECT_REPLY_TO })
        const { replyTo } = (await returned).properties
        const node = isReplyAddress(replyTo) ? nodeOf(replyTo) : undefined
        if (node !== undefined) this.#nodes.add(node)
      })
    } catch (error) {
      this.#service.log.debug({ error: asError(error).message }, 'the node of the broker was not learned')
    }
  }

  /** False if no reply to this address will be sent, so that no work is done for it. Checks nothing with the broker. */
  mayBear(address: unknown): address is string {
    if (!isReplyAddress(address)) return false
    if (!address.startsWith(DIRECT_REPLY_TO)) return true
    const node = nodeOf(address)
    const untilMs = node === undefined ? undefined : this.#unknown.get(node)
    return node !== undefined && (untilMs === undefined || untilMs < clockOf(this.#service).nowMs())
  }

  /**
   * Whether the broker can safely take a message to this address. An unknown node is checked on a separate connection:
   * on RabbitMQ 3 an address with an unknown node closes the connection with 541 (seen on 3.10; RabbitMQ 4.3 returns
   * the message). Also false when `scope` ends before the response.
   */
  async bears(address: unknown, scope: Scope): Promise<boolean> {
    if (!this.mayBear(address)) return false
    if (!address.startsWith(DIRECT_REPLY_TO)) return true
    const node = nodeOf(address)
    if (node === undefined) return false
    if (this.#nodes.has(node)) return true
    const asked = this.#asked.get(node) ?? this.#begin(node, address, scope)
    return asked === undefined ? false : await scope.untilOver(asked, false)
  }

  #begin(node: string, address: string, scope: Scope): Promise<boolean> | undefined {
    if (this.#asked.size >= QUESTIONS_MAX) return undefined
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
    if (this.#unknown.size >= QUESTIONS_MAX) this.#unknown.clear()
    this.#unknown.set(node, clockOf(this.#service).nowMs() + UNKNOWN_FOR_MS)
  }

  async #ask(address: string, node: string): Promise<boolean> {
    const { name } = this.#service
    try {
      const config = { ...this.#config, connectTimeoutMs: QUESTION_TIMEOUT_MS }
      const connection = await openFirstConnection(config, `${name} reply address`, this.#service, (reason) => {
        if (INTERNAL_ERROR.test(reason.message)) this.#noteUnknown(node)
      })
      try {
        await onThrowAwayChannel(connection, QUESTION_TIMEOUT_MS, (channel) => channel.checkQueue(address))
        return true
      } catch (error) {
        // 404: the node exists, the requester does not. An error that ends the connection has no code of a channel.
        return channelError.safeParse(error).success
      } finally {
        await closeConnection(connection)
      }
    } catch {
      return false
    }
  }
}

/** `amq.rabbitmq.reply-to.<process, base64>.<key>`. Undefined unless RabbitMQ could have written it this way. */
function nodeOf(address: string): string | undefined {
  const [process = ''] = address.slice(DIRECT_REPLY_TO.length + 1).split('.')
  const bytes = Buffer.from(process, 'base64')
  if (bytes.toString('base64') !== process || bytes.length <= PROCESS_BYTES) return undefined
  if (!bytes.subarray(0, PROCESS_BEGINS.length).equals(PROCESS_BEGINS)) return undefined
  return bytes.subarray(0, -PROCESS_BYTES).toString('latin1')
}
