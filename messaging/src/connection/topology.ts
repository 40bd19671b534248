// Declares and checks queues on the broker. They are durable and have no arguments, as Python peers declare them.
import type { Channel } from 'amqplib'
import { z } from 'zod'
import type { RabbitmqConfig } from '../config.ts'
import { Misconfigured } from '../errors.ts'
import { withDeadline } from '../scope.ts'
import type { Connection } from './connection.ts'

const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const PRECONDITION_FAILED = 406
/** How amqplib reports a channel that the broker closed. */
export const channelError = z.object({ code: z.number(), message: z.string() })

/**
 * Runs `work` on a new channel and closes it afterwards. The broker closes the channel of a failed check, which must not
 * affect other work. A channel that opens after the timeout is closed as well.
 * @throws Misconfigured if the broker allows no further channel
 */
export async function onThrowAwayChannel<T>(
  { model, clock }: Connection,
  timeoutMs: number,
  work: (channel: Channel) => Promise<T>,
): Promise<T> {
  const working = (async () => {
    const channel = await model.createChannel().catch((error: Error) => {
      if (error.message !== 'No channels left to allocate') throw error
      throw new Misconfigured(
        'the broker allows too few channels on a connection. Set channel_max in its configuration to 16 or more.',
      )
    })
    channel.on('error', () => {}) // The call that caused the error rejects with it.
    try {
      return await work(channel)
    } finally {
      await channel.close().catch(() => {})
    }
  })()
  return await withDeadline(clock, working, timeoutMs, 'a request to the broker')
}

interface Counts {
  readonly consumers: number
  readonly waiting: number
}

/**
 * The number of consumers and of ready messages of each queue. Both are 0 if the queue does not exist. All checks share
 * one channel, because opening and closing a channel costs more than a check.
 */
export async function countsOf(
  connection: Connection,
  queues: readonly string[],
  timeoutMs: number,
): Promise<readonly Counts[]> {
  const counts: Counts[] = []
  while (counts.length < queues.length) {
    try {
      await onThrowAwayChannel(connection, timeoutMs, async (channel) => {
        for (const queue of queues.slice(counts.length)) {
          const { consumerCount, messageCount } = await channel.checkQueue(queue)
          counts.push({ consumers: consumerCount, waiting: messageCount })
        }
      })
    } catch (error) {
      // The broker has closed the channel, so the next queue needs a new one.
      if (channelError.safeParse(error).data?.code !== NOT_FOUND) throw error
      counts.push({ consumers: 0, waiting: 0 })
    }
  }
  return counts
}

/**
 * Makes sure that `queue` exists. Declares it durable and without arguments, because policies set everything else. Mode
 * `check` only checks that it exists. Mode `none` does nothing.
 * @throws Misconfigured if the queue has other properties (406) or we may not declare it (403). The broker then closes the
 * channel.
 */
export async function ensureQueue(
  channel: Pick<Channel, 'assertQueue' | 'checkQueue'>,
  queue: string,
  mode: RabbitmqConfig['topology'],
): Promise<void> {
  if (mode === 'none') return
  try {
    if (mode === 'declare') await channel.assertQueue(queue, { durable: true })
    else await channel.checkQueue(queue)
  } catch (error) {
    throw explained(queue, error, mode)
  }
}

function explained(queue: string, error: unknown, mode: RabbitmqConfig['topology']): unknown {
  const { data } = channelError.safeParse(error)
  if (data?.code === PRECONDITION_FAILED) {
    return new Misconfigured(
      `queue ${queue} exists with other properties than ours (durable, without arguments): ${data.message}. ` +
        'Move its messages away and delete it, or set RABBITMQ_TOPOLOGY=none to use it as it is.',
    )
  }
  if (data?.code === ACCESS_REFUSED) {
    return new Misconfigured(
      mode === 'check'
        ? `this user may not use queue ${queue}: ${data.message}. ` +
            'Grant the permission, or restart the broker if its definitions have changed.'
        : `this user may not declare queue ${queue}: ${data.message}. ` +
            'Grant the permission, or set RABBITMQ_TOPOLOGY=check if another user declares the queues.',
    )
  }
  return error
}
