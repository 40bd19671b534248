// The entry point of messaging: one broker per process, with a connection for publishing, one for replies and, if the
// process consumes, one for consuming.

import { RepeatedLine } from '@ims/runtime/repeated-line'
import { addressOf } from '@ims/runtime/server-list'
import type { ConfirmChannel } from 'amqplib'
import type { ConsumerConfig, RabbitmqConfig } from './config.ts'
import { type Connection, superviseChannel, superviseConnection } from './connection/connection.ts'
import type { Supervised } from './connection/supervised.ts'
import { countsOf } from './connection/topology.ts'
import { type Contract, deadLetterQueue } from './contract.ts'
import { Misconfigured } from './errors.ts'
import type { Handler } from './handler.ts'
import { Consumer } from './incoming/consumer.ts'
import { Publisher } from './outgoing/publisher.ts'
import { ReplyAddresses } from './outgoing/reply-addresses.ts'
import { Requester } from './outgoing/requester.ts'
import { clockOf, Scope } from './scope.ts'
import type { Service } from './service.ts'

/** How often the log repeats which queues still have no consumer. */
const LOGGED_EVERY_MS = 30_000

/** A running subscription: its state, and how to end it. */
export interface Subscription {
  notReady(): string | undefined
  /** Stops taking messages, finishes those that are being handled, and requeues the others. */
  close(): Promise<void>
}

/** Resolves with the reason why the handler's dependency cannot be used, in one sentence, or with undefined if it can. */
export type Dependency = () => Promise<string | undefined>

/** The current counts of a queue. */
export interface QueueState {
  readonly queue: string
  /** Messages ready for delivery, without the unacknowledged ones. */
  readonly waiting: number
  readonly consumers: number
  readonly deadLetters: number
}

export interface Broker {
  readonly publisher: Pick<Publisher, 'publish'>
  readonly requester: Pick<Requester, 'request' | 'command'>
  /**
   * Starts consuming the contract's queue with `handler`, and resolves once subscribed. If no message can be applied for
   * longer than `config.holdMaxMs`, the consumer requeues its messages and cancels its subscription, so that other replicas
   * can take them. It subscribes again when `dependency` resolves with undefined instead of a reason.
   * @throws Misconfigured if a retry cannot help; another Error if `service.stopping` aborts
   * @example
   * ```ts
   * const handler: Handler<Item, { outcome: 'created' }> = async (deliveries) =>
   *   deliveries.map(() => ({ kind: 'applied', result: { outcome: 'created' }, repeated: false }))
   * service.own(await broker.consume(createItem, handler, service.config.consumer))
   * ```
   */
  consume<Body, Result>(
    contract: Contract<Body, Result>,
    handler: Handler<Body, Result>,
    config: ConsumerConfig,
    dependency?: Dependency,
  ): Promise<Subscription>
  /**
   * The queues of `contracts` that have no consumer, including queues that do not exist.
   * @throws Misconfigured if a retry cannot help; another Error if the request to the broker fails, for example because the connection is lost
   */
  withoutConsumer(contracts: readonly Contract[]): Promise<readonly string[]>
  /**
   * The counts of each queue of `contracts`. Reads no message. A queue that does not exist counts as empty.
   * @throws Misconfigured if a retry cannot help; another Error if the request to the broker fails, for example because the connection is lost
   */
  queueStates(contracts: readonly Contract[]): Promise<readonly QueueState[]>
  notReady(): string | undefined
  /** Ends the subscriptions, waits for pending confirms, and closes the connections. */
  close(): Promise<void>
}

export interface BrokerRole {
  /** The queues that this process publishes to. If `config.topology` is `declare`, it declares them, and again if they are deleted. */
  readonly publishes?: readonly Contract[]
}

/**
 * Connects to the broker and retries without a time limit, because processes may start in any order. Lost connections are
 * reopened.
 * @throws Misconfigured if a queue on the broker differs from our declaration; another Error if `service.stopping`
 * aborts.
 * @example
 * ```ts
 * const broker = service.own(await openBroker(service.config.rabbitmq, service, { publishes: [createItem] }))
 * ```
 */
export async function openBroker(config: RabbitmqConfig, service: Service, role: BrokerRole = {}): Promise<Broker> {
  const broker = new RabbitmqBroker(config, service, role)
  service.explainStart?.(() => broker.notReady() ?? broker.publisher.queues.missing())
  try {
    service.log.info({ servers: config.servers.map(addressOf), vhost: config.vhost }, 'connecting to the broker')
    await broker.opened(service.stopping)
    return broker
  } catch (error) {
    await broker.close()
    throw error
  }
}

/**
 * Waits until each contract's queue has a consumer. Logs which queues have none, or why the broker cannot be queried.
 * Resolves after `maxMs` anyway, because a consumer does not consume while its database is down, but its queue still
 * accepts messages.
 * @throws Misconfigured when no retry can help; an Error when `stopping` aborts
 */
export async function waitForConsumers(
  broker: Broker,
  contracts: readonly Contract[],
  service: Service,
  maxMs: number,
): Promise<void> {
  const { log, stopping } = service
  const scope = new Scope(clockOf(service), stopping)
  const line = new RepeatedLine(LOGGED_EVERY_MS, () => scope.clock.nowMs())
  let lastWhy = ''
  service.explainStart?.(() => lastWhy || undefined)
  const stopped = new Promise<never>((_, reject) => {
    stopping.addEventListener('abort', () => reject(new Error('stopped waiting for consumers')), { once: true })
  })
  stopped.catch(() => {})
  for (const endsAt = scope.clock.nowMs() + maxMs; ; ) {
    stopping.throwIfAborted()
    const waitsFor = await Promise.race([broker.withoutConsumer(contracts), stopped]).then(
      (queues) =>
        queues.length === 0
          ? undefined
          : ({ level: 'info', why: `waiting for a consumer of: ${queues.join(', ')}` } as const),
      (error: Error) => {
        if (error instanceof Misconfigured || stopping.aborted) throw error
        const why = `waiting for the broker to report which queues have a consumer: ${error.message}`
        return { level: 'warn', why } as const
      },
    )
    if (waitsFor === undefined) return
    if (scope.clock.nowMs() > endsAt) return log.warn({}, `no longer ${waitsFor.why}; messages wait on their queues`)
    if (line.due(waitsFor.why) !== undefined) log[waitsFor.level]({}, waitsFor.why)
    lastWhy = waitsFor.why
    await scope.pause(500)
  }
}

class RabbitmqBroker implements Broker {
  readonly publisher: Publisher
  readonly requester: Broker['requester']
  readonly #config: RabbitmqConfig
  readonly #service: Service
  readonly #publishing: Supervised<Connection>
  readonly #channel: Supervised<ConfirmChannel>
  readonly #replying: Supervised<Connection>
  readonly #replies: Publisher
  readonly #queries: Requester
  readonly #addresses: ReplyAddresses
  readonly #replyChannel: Supervised<ConfirmChannel>
  readonly #subscriptions: Subscription[] = []
  readonly #consuming: Supervised<Connection>[] = []
  #nodeLearned: Promise<void> | undefined

  constructor(config: RabbitmqConfig, service: Service, { publishes = [] }: BrokerRole) {
    this.#config = config
    this.#service = service
    this.#publishing = superviseConnection(config, 'publishing', service)
    this.publisher = new Publisher(this.#publishing, config, service)
    this.publisher.ownQueues(publishes.map(({ queue }) => queue))
    this.#replying = superviseConnection(config, 'replies', service)
    this.#replies = new Publisher(this.#replying, config, service, 'replies', this.publisher.queues)
    const commands = new Requester(this.publisher, service)
    const queries = new Requester(this.#replies, service, { asksCommands: false })
    this.#queries = queries
    this.#addresses = new ReplyAddresses(config, service)
    this.requester = {
      request: (...args) => queries.request(...args),
      command: (...args) => commands.command(...args),
    }
    for (const { queue } of publishes) service.meter.count('replies_missing', { queue }, 0)
    this.#channel = superviseChannel(this.#publishing, 'channel for publishing', config, service, async (channel) => {
      await this.publisher.queues.look()
      this.publisher.attach(channel)
      await commands.attach(channel)
    })
    this.publisher.useChannel(this.#channel)
    this.#replyChannel = superviseChannel(this.#replying, 'channel for replies', config, service, async (channel) => {
      this.#replies.attach(channel)
      await queries.attach(channel)
    })
    this.#replies.useChannel(this.#replyChannel)
  }

  async opened(signal: AbortSignal): Promise<void> {
    await this.publisher.opened(signal)
    await this.#replyChannel.whenOpen(signal)
  }

  async consume<Body, Result>(
    contract: Contract<Body, Result>,
    handler: Handler<Body, Result>,
    config: ConsumerConfig,
    dependency: Dependency = async () => undefined,
  ): Promise<Subscription> {
    // Its own connection, because reading from a connection pauses while too many bytes of one queue are in flight.
    const connection = superviseConnection(this.#config, 'consuming', this.#service)
    this.#consuming.push(connection)
    this.publisher.ownQueues([deadLetterQueue(contract.queue)])
    const consumer = new Consumer({
      contract,
      handler,
      connection,
      publisher: this.publisher,
      replies: this.#replies,
      refusals: this.#queries,
      addresses: this.#addresses,
      rabbitmq: this.#config,
      config,
      service: this.#service,
      dependency,
    })
    this.#subscriptions.push(consumer)
    this.#service.explainStart?.(() => consumer.notReady())
    // Not called in the constructor, because only a process that consumes sends replies.
    this.#nodeLearned ??= this.#addresses.learnNode(this.#replying)
    await consumer.subscribed(this.#service.stopping)
    await this.#nodeLearned
    return consumer
  }

  async withoutConsumer(contracts: readonly Contract[]): Promise<readonly string[]> {
    const queues = contracts.map(({ queue }) => queue)
    const counts = await this.#counts(queues)
    return queues.filter((_, at) => counts[at]?.consumers === 0)
  }

  async queueStates(contracts: readonly Contract[]): Promise<readonly QueueState[]> {
    const queues = contracts.map(({ queue }) => queue)
    const counts = await this.#counts(queues)
    const deadLetters = await this.#counts(queues.map(deadLetterQueue))
    return queues.map((queue, at) => ({
      queue,
      consumers: counts[at]?.consumers ?? 0,
      waiting: counts[at]?.waiting ?? 0,
      deadLetters: deadLetters[at]?.waiting ?? 0,
    }))
  }

  async #counts(queues: readonly string[]): ReturnType<typeof countsOf> {
    const connection = await this.#publishing.whenOpen(this.#service.stopping)
    return await countsOf(connection, queues, this.#config.connectTimeoutMs)
  }

  notReady(): string | undefined {
    return this.publisher.notReady() ?? this.#replyChannel.notReady()
  }

  async close(): Promise<void> {
    await Promise.all(this.#subscriptions.map((subscription) => subscription.close()))
    await Promise.all([this.publisher.close(), this.#replies.close()])
    await Promise.all([this.#channel.close(), this.#replyChannel.close()])
    await Promise.all([this.#publishing, this.#replying, ...this.#consuming].map((connection) => connection.close()))
  }
}
