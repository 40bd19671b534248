// What is declared on the broker, and how it is checked: durable queues without arguments, so that Python peers can redeclare them.
import type { Channel } from 'amqplib'
import { z } from 'zod'
import type { RabbitmqConfig } from './config.ts'
import { Misconfigured } from './errors.ts'

const ACCESS_REFUSED = 403
const PRECONDITION_FAILED = 406
const channelError = z.object({ code: z.number(), message: z.string() })

/**
 * Makes sure that `queue` is there: declares it durable without arguments (anything else a queue needs is policy), or in
 * mode `check` only looks, or in mode `none` believes.
 * @throws Misconfigured when the queue has other properties (406) or we may not declare it (403). The channel is closed then.
 */
export async function ensureQueue(channel: Channel, queue: string, mode: RabbitmqConfig['topology']): Promise<void> {
  if (mode === 'none') return
  try {
    if (mode === 'declare') await channel.assertQueue(queue, { durable: true })
    else await channel.checkQueue(queue)
  } catch (error) {
    throw explained(queue, error)
  }
}

function explained(queue: string, error: unknown): unknown {
  const { data } = channelError.safeParse(error)
  if (data?.code === PRECONDITION_FAILED) {
    return new Misconfigured(
      `queue ${queue} exists with other properties than ours (durable, without arguments): ${data.message}. ` +
        'Move its messages away and delete it, or set RABBITMQ_TOPOLOGY=none to use it as it is.',
    )
  }
  if (data?.code === ACCESS_REFUSED) {
    return new Misconfigured(
      `this user may not declare queue ${queue}: ${data.message}. ` +
        'Grant it, or set RABBITMQ_TOPOLOGY=check where somebody else declares the queues.',
    )
  }
  return error
}
