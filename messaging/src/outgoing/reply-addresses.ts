// Which addresses of direct reply-to may be replied to: RabbitMQ closes the whole connection of whoever publishes to some of those that it did not make.
import type { RabbitmqConfig } from '../config.ts'
import { closeConnection, openFirstConnection } from '../connection/connection.ts'
import { channelError, onThrowAwayChannel } from '../connection/topology.ts'
import type { Scope } from '../scope.ts'
import type { Service } from '../service.ts'
import { DIRECT_REPLY_TO, isReplyAddress } from './reply.ts'

/**
 * Version and kind of an address, as every broker writes it. The older kind has shorter numbers: with it, part of the node's name would be
 * taken for the process.
 */
const PROCESS_BEGINS = Buffer.from([131, 88])
/** Number and creation of the Erlang process that holds the channel: the end of an address, and any value of them does no harm. */
const PROCESS_BYTES = 12
/** Questions that may wait: a flood of made-up addresses must not keep real messages in hand. */
const QUESTIONS_MAX = 16
/** Longest time for opening the connection, and for the answer. */
const QUESTION_TIMEOUT_MS = 2_000

export class ReplyAddresses {
  readonly #config: RabbitmqConfig
  readonly #service: Service
  /** The part of an address that names a node of the broker, of those that are known to exist. */
  readonly #nodes = new Set<string>()
  /** Those that are asked for, one after the other. */
  readonly #asked = new Map<string, Promise<boolean>>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(config: RabbitmqConfig, service: Service) {
    this.#config = config
    this.#service = service
  }

  /**
   * Whether the broker bears a message to this address. A node that is not known yet is asked for, on a connection of its own:
   * on RabbitMQ 3 an address with an unknown node ends the connection with 541 (seen on 3.10; RabbitMQ 4.3 returns the message).
   * False as well when `scope` ends before the answer comes.
   */
  async bears(address: unknown, scope: Scope): Promise<boolean> {
    if (!isReplyAddress(address)) return false
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
      const isKnown = !scope.isOver && (await this.#ask(address))
      this.#asked.delete(node)
      if (isKnown) this.#nodes.add(node)
      return isKnown
    })
    this.#last = asking
    this.#asked.set(node, asking)
    return asking
  }

  async #ask(address: string): Promise<boolean> {
    const { name } = this.#service
    try {
      const config = { ...this.#config, connectTimeoutMs: QUESTION_TIMEOUT_MS }
      const connection = await openFirstConnection(config, `${name} reply address`, this.#service, () => {})
      try {
        await onThrowAwayChannel(connection, QUESTION_TIMEOUT_MS, (channel) => channel.checkQueue(address))
        return true
      } catch (error) {
        // 404: the node is there, the requester is not. An error that ends the connection has no code here.
        return channelError.safeParse(error).success
      } finally {
        await closeConnection(connection)
      }
    } catch {
      return false
    }
  }
}

/** `amq.rabbitmq.reply-to.<process, base64>.<key>`; undefined unless RabbitMQ could have written it that way. */
function nodeOf(address: string): string | undefined {
  const [process = ''] = address.slice(DIRECT_REPLY_TO.length + 1).split('.')
  const bytes = Buffer.from(process, 'base64')
  if (bytes.toString('base64') !== process || bytes.length <= PROCESS_BYTES) return undefined
  if (!bytes.subarray(0, PROCESS_BEGINS.length).equals(PROCESS_BEGINS)) return undefined
  return bytes.subarray(0, -PROCESS_BYTES).toString('latin1')
}
