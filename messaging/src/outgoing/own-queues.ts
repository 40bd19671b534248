// The queues that a process publishes to. Each one is declared or checked separately, because a missing queue must not affect the others.
import type { RabbitmqConfig } from '../config.ts'
import type { Connection } from '../connection/connection.ts'
import type { Supervised } from '../connection/supervised.ts'
import { ensureQueue, onThrowAwayChannel } from '../connection/topology.ts'
import { asError, Misconfigured } from '../errors.ts'
import { clockOf, OwnScope, Scope } from '../scope.ts'
import type { Service } from '../service.ts'

const FOUND_CHECK_MS = 50

export class OwnQueues {
  readonly #connection: Supervised<Connection>
  readonly #config: RabbitmqConfig
  readonly #service: Service
  readonly #stop: OwnScope
  readonly #names = new Set<string>()
  /** The missing queues and the reason for each. */
  readonly #missing = new Map<string, Error>()
  #searching: Promise<void> | undefined

  constructor(connection: Supervised<Connection>, config: RabbitmqConfig, service: Service) {
    this.#connection = connection
    this.#config = config
    this.#service = service
    this.#stop = new OwnScope(clockOf(service))
  }

  add(queue: string): void {
    this.#names.add(queue)
  }

  /** Checks each queue once. Missing ones are checked again until they exist. Never rejects. */
  async look(): Promise<void> {
    for (const queue of this.#names) await this.#look(queue)
    this.#search()
  }

  /**
   * Resolves when all queues exist.
   * @throws Misconfigured if a retry cannot help; another Error if `signal` aborts
   */
  async found(signal: AbortSignal): Promise<void> {
    const scope = new Scope(this.#stop.clock, signal)
    while (this.#missing.size > 0) {
      signal.throwIfAborted()
      for (const reason of this.#missing.values()) if (reason instanceof Misconfigured) throw reason
      await scope.pause(FOUND_CHECK_MS)
    }
  }

  /** Called when the broker returned a message to `queue`. Checks the queue again if this process owns it, unless RABBITMQ_TOPOLOGY turns checks off. */
  returned(queue: string): void {
    if (!this.#names.has(queue) || this.#missing.has(queue) || this.#config.topology === 'none') return
    this.#missing.set(queue, new Error(`the broker has no queue ${queue}`))
    this.#search()
  }

  /** Why all queues are missing. Undefined while at least one exists: publishing to a missing one fails with an error that names it. */
  notReady(): string | undefined {
    return this.#missing.size < this.#names.size ? undefined : this.missing()
  }

  /** Why queues are missing. Undefined if none is missing. */
  missing(): string | undefined {
    return [...this.#missing.values()].map(({ message }) => message).join('; ') || undefined
  }

  close(): void {
    this.#stop.abort()
  }

  #search(): void {
    this.#searching ??= this.#untilFound().finally(() => {
      this.#searching = undefined
    })
  }

  async #untilFound(): Promise<void> {
    for (let attempt = 1; this.#missing.size > 0; attempt += 1) {
      for (const queue of [...this.#missing.keys()]) if (!this.#stop.signal.aborted) await this.#look(queue)
      if (this.#missing.size > 0) await this.#stop.backOff(attempt, this.#config.reconnectMaxMs)
      if (this.#stop.signal.aborted) return
    }
  }

  async #look(queue: string): Promise<void> {
    const { topology, connectTimeoutMs } = this.#config
    const { log } = this.#service
    // All checks together must fit into the time for setting up a channel. Otherwise one unresponsive queue would keep the channel closed.
    const timeoutMs = connectTimeoutMs / (this.#names.size + 1)
    try {
      const connection = this.#connection.current
      if (connection === undefined) throw new Error('not connected to the broker')
      if (topology !== 'none')
        await onThrowAwayChannel(connection, timeoutMs, (channel) => ensureQueue(channel, queue, topology))
      if (this.#missing.delete(queue)) log.info({ queue }, `queue ${queue} exists again`)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      const reason = asError(error)
      if (this.#missing.get(queue)?.message !== reason.message)
        log.error({ queue }, `queue ${queue} is missing: ${reason.message}; retrying until it exists`)
      this.#missing.set(queue, reason)
    }
  }
}
