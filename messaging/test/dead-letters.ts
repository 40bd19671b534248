// Fills and reads the queues of a test's vhost independently of the code under test.
import { type Channel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { eventually } from 'testkit'

export interface Peer {
  readonly channel: ConfirmChannel
  /** Deletes `create_item` and its dead-letter queue, and declares both again. */
  empty(): Promise<void>
  /** Dead-letters `n` messages as a consumer does. Their ids are `id-<from>`, `id-<from + 1>`, and so on. */
  deadLetter(n: number, from?: number, reason?: (number: number) => string): Promise<void>
  depth(queue: string): Promise<number>
  /** Returns the messages of a queue in order, without removing them. Waits until there are at least `min`. */
  peek(queue: string, min: number): Promise<ConsumeMessage[]>
  /** Removes all messages from a queue, and returns their ids in order. */
  drain(queue: string): Promise<string[]>
  close(): Promise<void>
}

export const QUEUE = 'create_item'
export const DEAD = 'create_item.dead-letter'
const UNCONFIRMED_MAX = 2_000

/** Connects a client that shares no code with messaging. */
export async function connectPeer(url: string): Promise<Peer> {
  const model = await connect(url)
  model.on('error', () => {})
  const channel = await model.createConfirmChannel()
  const all = async (queue: string, min: number): Promise<{ messages: ConsumeMessage[]; own: Channel }> => {
    const own = await model.createChannel()
    const messages: ConsumeMessage[] = []
    await own.prefetch(65_535)
    const { consumerTag } = await own.consume(queue, (message) => {
      if (message) messages.push(message)
    })
    await eventually(() => {
      if (messages.length < min) throw new Error(`${messages.length} of ${min} messages on ${queue}`)
    })
    await own.cancel(consumerTag)
    return { messages, own }
  }
  return {
    channel,
    empty: async () => {
      for (const queue of [QUEUE, DEAD]) {
        await channel.deleteQueue(queue)
        await channel.assertQueue(queue, { durable: true })
      }
    },
    deadLetter: async (n, from = 0, reason = () => 'invalid') => {
      for (let number = from; number < from + n; number += 1) {
        const content = Buffer.from(JSON.stringify({ number }))
        const headers = {
          kept: 'of the sender',
          'x-reason': reason(number),
          'x-error': 'sku: must not be empty',
          'x-failed-at': '2026-01-02T03:04:05.678Z',
          'x-consumer': 'consumer_two',
          'x-attempts': 1,
        }
        channel.sendToQueue(DEAD, content, { persistent: true, messageId: `id-${number}`, headers })
        if (number % UNCONFIRMED_MAX === 0) await channel.waitForConfirms()
      }
      await channel.waitForConfirms()
    },
    depth: async (queue) => (await channel.checkQueue(queue)).messageCount,
    peek: async (queue, min) => {
      const { messages, own } = await all(queue, min)
      own.nackAll(true)
      await own.close()
      return messages
    },
    drain: async (queue) => {
      const { messageCount } = await channel.checkQueue(queue)
      const { messages, own } = await all(queue, messageCount)
      own.ackAll()
      await own.close()
      return messages.map(({ properties }) => String(properties.messageId))
    },
    close: () => model.close(),
  }
}

/** The ids from `id-<from>` to `id-<to - 1>`. */
export const ids = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `id-${from + index}`)
