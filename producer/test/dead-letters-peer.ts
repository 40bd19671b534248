// Direct access to the broker for tests of dead letters: fills, counts, reads and occupies queues.
import { type ConsumeMessage, connect, type Options } from 'amqplib'
import { eventually } from 'testkit'

export const QUEUE = 'create_item'
export const DEAD = 'create_item.dead-letter'
const AT_ONCE = 2_000
const PREFETCH = 65_535

export interface BrokerPeer {
  /** Deletes both queues and declares them again. */
  empty(): Promise<void>
  /** Publishes `n` dead letters with ids from `id-0` on. Each body has `bytes` bytes of padding. */
  addDeadLetters(n: number, reason?: (number: number) => string, bytes?: number): Promise<void>
  put(queue: string, content: Buffer, properties: Options.Publish): Promise<void>
  remove(queue: string): Promise<void>
  /** The number of messages that are ready. */
  depth(queue: string): Promise<number>
  /** Waits for `min` messages and returns their ids, in order. The messages stay on the queue. */
  ids(queue: string, min: number): Promise<string[]>
  /** Consumes from a queue until the returned function is called. */
  occupy(queue: string): Promise<() => Promise<void>>
  close(): Promise<void>
}

interface Access {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
}

export async function openPeer({ host, port, username, password, vhost }: Access): Promise<BrokerPeer> {
  const model = await connect({ hostname: host, port, username, password, vhost: encodeURIComponent(vhost) })
  const channel = await model.createConfirmChannel()
  return {
    empty: async () => {
      for (const queue of [QUEUE, DEAD]) {
        await channel.deleteQueue(queue)
        await channel.assertQueue(queue, { durable: true })
      }
    },
    addDeadLetters: async (n, reason = () => 'invalid', bytes = 0) => {
      const padding = bytes === 0 ? {} : { padding: 'x'.repeat(bytes) }
      for (let number = 0; number < n; number += 1) {
        const headers = { 'x-reason': reason(number), 'x-error': 'no good', 'x-consumer': 'consumer_two' }
        const content = Buffer.from(JSON.stringify({ number, ...padding }))
        channel.sendToQueue(DEAD, content, { persistent: true, messageId: `id-${number}`, headers })
        if (number % AT_ONCE === 0) await channel.waitForConfirms()
      }
      await channel.waitForConfirms()
    },
    put: async (queue, content, properties) => {
      channel.sendToQueue(queue, content, { persistent: true, ...properties })
      await channel.waitForConfirms()
    },
    remove: async (queue) => void (await channel.deleteQueue(queue)),
    depth: async (queue) => (await channel.checkQueue(queue)).messageCount,
    ids: async (queue, min) => {
      const own = await model.createChannel()
      const messages: ConsumeMessage[] = []
      await own.prefetch(PREFETCH)
      const { consumerTag } = await own.consume(queue, (message) => {
        if (message) messages.push(message)
      })
      await eventually(() => {
        if (messages.length < min) throw new Error(`${messages.length} of ${min} messages on ${queue}`)
      })
      await own.cancel(consumerTag)
      own.nackAll(true)
      await own.close()
      return messages.map(({ properties }) => String(properties.messageId))
    },
    occupy: async (queue) => {
      const own = await model.createChannel()
      const { consumerTag } = await own.consume(queue, () => {})
      return async () => {
        await own.cancel(consumerTag)
        await own.close()
      }
    },
    close: () => model.close(),
  }
}

/** The ids `id-0` to `id-<n - 1>`. */
export const ids = (n: number): string[] => Array.from({ length: n }, (_, number) => `id-${number}`)
