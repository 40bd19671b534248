// An in-memory broker for unit tests. It passes the same suite as RabbitMQ (test/broker.suite.ts) and has no connections.
import type { Message } from 'amqplib'
import { v7 as uuidv7 } from 'uuid'
import type { Broker, BrokerRole, Subscription } from './broker.ts'
import type { ConsumerConfig } from './config.ts'
import { type Command, type Contract, deadLetterQueue, type Query } from './contract.ts'
import { NoReply, NotAccepted, OutcomeUnknown } from './errors.ts'
import type { Delivery, Handler, Outcome } from './handler.ts'
import { attemptAll, type Reported } from './incoming/attempts.ts'
import { deadLetter } from './incoming/dead-letter.ts'
import { readMessage } from './incoming/read-message.ts'
import { replyTo } from './incoming/reply-envelope.ts'
import type { Envelope } from './outgoing/publisher.ts'
import { DIRECT_REPLY_TO, HEARS_REFUSALS_HEADER, isReplyAddress } from './outgoing/reply.ts'
import {
  type CommandOptions,
  type CommandReply,
  commandReplyIn,
  queryReplyIn,
  type Reply,
} from './outgoing/requester.ts'
import type { Service } from './service.ts'

/** The default frame_max of RabbitMQ. */
const FRAME_MAX = 131_072

/** A service that logs nothing, counts nothing and is not stopping. */
export const quietService: Service = {
  name: 'test',
  log: { debug() {}, info() {}, warn() {}, error() {} },
  meter: { count() {}, observe() {} },
  stopping: new AbortController().signal,
}

interface MemoryQueue {
  messages: Message[]
  /** One for each consumer. */
  readonly takes: Set<() => void>
}

interface Readable<Body> {
  readonly message: Message
  readonly read: Delivery<Body>
}

/** Keeps queues in memory. Each call of `open` returns a broker for one process. All brokers share the queues. */
export class InMemoryRabbitmq {
  readonly #queues = new Map<string, MemoryQueue>()
  readonly #replies = new Map<string, (message: Message) => void>()

  /** Opens a broker for one process, and creates the queues it publishes to. */
  open(role: BrokerRole = {}, service: Service = quietService): Broker {
    for (const { queue } of role.publishes ?? []) this.#queue(queue)
    const subscriptions: Subscription[] = []
    return {
      publisher: { publish: (contract, body, properties) => this.#publish(contract, body, properties) },
      requester: {
        request: (query, body, options) => this.#request(query, body, options),
        command: (command, body, options) => this.#command(command, body, options),
      },
      consume: async (contract, handler, config) => {
        const subscription = this.#consume(contract, handler, config, service)
        subscriptions.push(subscription)
        return subscription
      },
      withoutConsumer: async (contracts) =>
        contracts.map(({ queue }) => queue).filter((queue) => !this.#queues.get(queue)?.takes.size),
      queueStates: async (contracts) =>
        contracts.map(({ queue }) => ({
          queue,
          waiting: this.messages(queue).length,
          consumers: this.#queues.get(queue)?.takes.size ?? 0,
          deadLetters: this.messages(deadLetterQueue(queue)).length,
        })),
      notReady: () => undefined,
      close: async () => {
        await Promise.all(subscriptions.map((subscription) => subscription.close()))
      },
    }
  }

  /** Puts bytes on a queue, as any peer can. Throws NotAccepted if the queue does not exist. */
  put({ queue, content, properties }: Envelope): void {
    const message = asMessage(queue, content, properties)
    const reply = this.#replies.get(queue)
    if (reply) {
      reply(message)
      return
    }
    const found = this.#queues.get(queue)
    if (found) {
      found.messages.push(message)
      for (const take of found.takes) take()
    } else if (!queue.startsWith(DIRECT_REPLY_TO))
      throw new NotAccepted('unroutable', `the broker has no queue ${queue}`)
  }

  /** The messages on a queue, oldest first. */
  messages(queue: string): readonly Message[] {
    return this.#queues.get(queue)?.messages ?? []
  }

  #queue(name: string): MemoryQueue {
    const queue = this.#queues.get(name) ?? { messages: [], takes: new Set() }
    this.#queues.set(name, queue)
    return queue
  }

  async #publish(
    contract: Contract,
    body: unknown,
    properties: Envelope['properties'] = {},
  ): Promise<{ messageId: string }> {
    const messageId = properties.messageId ?? uuidv7()
    const content = Buffer.from(JSON.stringify(body))
    this.put({ queue: contract.queue, content, properties: { ...properties, messageId } })
    return { messageId }
  }

  /** Publishes with its own reply address and waits for the reply. */
  async #ask(
    contract: Contract,
    body: unknown,
    deadlineMs: number,
    properties: Envelope['properties'],
    signal?: AbortSignal,
  ): Promise<Message> {
    const correlationId = uuidv7()
    const address = `${DIRECT_REPLY_TO}.${correlationId}`
    return await new Promise<Message>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new NoReply(`no reply from ${contract.queue} within ${deadlineMs} ms`)),
        deadlineMs,
      )
      const left = () => {
        clearTimeout(timer)
        reject(new OutcomeUnknown(`stopped waiting for the reply from ${contract.queue}`))
      }
      if (signal?.aborted) left()
      signal?.addEventListener('abort', left, { once: true })
      this.#replies.set(address, (message) => {
        clearTimeout(timer)
        resolve(message)
      })
      this.#publish(contract, body, { ...properties, correlationId, replyTo: address }).catch((error) => {
        clearTimeout(timer)
        reject(error)
      })
    }).finally(() => {
      this.#replies.delete(address)
      // A query expires on its queue when nobody waits for its reply any more.
      const queue = this.#queues.get(contract.queue)
      if (queue !== undefined && contract.kind === 'query')
        queue.messages = queue.messages.filter(({ properties }) => properties.correlationId !== correlationId)
    })
  }

  async #request<T>(
    query: Query<T>,
    body: unknown,
    options: { deadlineMs: number; headers?: Record<string, unknown>; signal?: AbortSignal },
  ): Promise<Reply<T>> {
    const { deadlineMs, headers = {}, signal } = options
    const message = await this.#ask(query, body, deadlineMs, { headers }, signal)
    return queryReplyIn(query, message)
  }

  async #command<Result>(
    command: Command<unknown, Result>,
    body: unknown,
    { deadlineMs, headers, signal, messageId = uuidv7() }: CommandOptions,
  ): Promise<{ messageId: string; reply: CommandReply<Result> }> {
    try {
      const properties = { messageId, headers: { ...headers, [HEARS_REFUSALS_HEADER]: true } }
      const message = await this.#ask(command, body, deadlineMs, properties, signal)
      return { messageId, reply: commandReplyIn(command.result, message) }
    } catch (error) {
      if (error instanceof NoReply || error instanceof OutcomeUnknown) return { messageId, reply: { kind: 'no-reply' } }
      throw error
    }
  }

  #consume<Body, Result>(
    contract: Contract<Body, Result>,
    handler: Handler<Body, Result>,
    config: ConsumerConfig,
    service: Service,
  ): Subscription {
    const queue = this.#queue(contract.queue)
    this.#queue(deadLetterQueue(contract.queue))
    const stop = new AbortController()
    let trouble: string | undefined
    const working = new Set<Promise<void>>()
    const [batchMax, workers] = contract.kind === 'query' ? [1, config.queriesMax] : [config.batchMax, 1]
    const read = (message: Message) => readMessage(contract, message, config.messageMaxBytes)
    const isUseless = ({ properties }: Message) => contract.kind === 'query' && !isReplyAddress(properties.replyTo)
    const isReadable = (item: { message: Message; read: ReturnType<typeof read> }): item is Readable<Body> => {
      if (!('kind' in item.read)) return true
      this.#carryOut(contract, item.message, item.read, service)
      return false
    }
    const taken = (max: number) =>
      queue.messages
        .splice(0, max)
        .map((message) => ({ message, read: read(message) }))
        .filter(isReadable)
        .filter(({ message }) => !isUseless(message))
    const parts = {
      queue: contract.queue,
      handler,
      config,
      service,
      trouble: (sentence?: string) => {
        trouble = sentence
      },
      reported: (reported: readonly Reported<Readable<Body>, Result>[]) => {
        for (const { item, outcome } of reported) this.#carryOut(contract, item.message, outcome, service)
      },
      more: () => taken(1)[0],
    }
    const work = async () => {
      while (queue.messages.length > 0 && !stop.signal.aborted) {
        const unreported = await attemptAll(taken(batchMax), parts, stop.signal)
        queue.messages.unshift(...(unreported?.items ?? []).map(({ message }) => message))
      }
    }
    const take = () => {
      if (working.size >= workers) return
      const begun: Promise<void> = new Promise(setImmediate).then(work).finally(() => {
        working.delete(begun)
        if (queue.messages.length > 0 && !stop.signal.aborted) take()
      })
      working.add(begun)
    }
    queue.takes.add(take)
    take()
    return {
      notReady: () => trouble,
      close: async () => {
        stop.abort()
        queue.takes.delete(take)
        await Promise.all(working)
      },
    }
  }

  #carryOut(contract: Contract, message: Message, outcome: Outcome, service: Service): void {
    const reply = replyTo(contract, message, outcome)
    const isHeard =
      message.properties.headers?.[HEARS_REFUSALS_HEADER] === true && reply && this.#replies.has(reply.queue)
    if (outcome.kind === 'refused' && !isHeard)
      this.put(
        deadLetter(contract, message, outcome, {
          consumer: service.name,
          at: new Date(),
          frameMax: FRAME_MAX,
          letterId: uuidv7(),
        }),
      )
    try {
      if (reply) this.put(reply)
    } catch {
      // The reply queue does not exist any more. The effect of the message is durable.
    }
  }
}

/** The properties of a received message that has none. @internal */
export const noProperties = {
  contentType: undefined,
  contentEncoding: undefined,
  headers: undefined,
  deliveryMode: undefined,
  priority: undefined,
  correlationId: undefined,
  replyTo: undefined,
  expiration: undefined,
  messageId: undefined,
  timestamp: undefined,
  type: undefined,
  userId: undefined,
  appId: undefined,
  clusterId: undefined,
}

function asMessage(queue: string, content: Buffer, { headers = {}, ...properties }: Envelope['properties']): Message {
  return {
    content,
    fields: { deliveryTag: 0, redelivered: false, exchange: '', routingKey: queue },
    properties: { ...noProperties, ...properties, headers },
  }
}
