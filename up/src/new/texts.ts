// First versions of the files that a developer must complete: the message schema, the handler, and its first test.

export interface Names {
  /** `adjust_quantity` */
  readonly queue: string
  /** `consumer_five` */
  readonly consumer: string
  /** `adjustQuantity` */
  readonly contract: string
  /** `handleAdjustQuantity` */
  readonly handler: string
  /** `adjust-quantity.ts` */
  readonly file: string
}

export function namesFor(queue: string, consumer: string): Names {
  const contract = queue.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
  return {
    queue,
    consumer,
    contract,
    handler: `handle${contract.charAt(0).toUpperCase()}${contract.slice(1)}`,
    file: `${queue.replaceAll('_', '-')}.ts`,
  }
}

export const contractText = ({ queue, consumer, contract }: Names): string => `\
/** ${consumer.replace('_', ' ').replace(/^c/, 'C')} logs it. */
export const ${contract} = command('${queue}', {
  body: z.object({ sku: heldSku }),
  result: z.object({ outcome: z.literal('logged') }),
})
`

export const handlerText = ({ queue, handler }: Names): string => `\
// Writes one log line for each ${queue} message.
import type { Handler, Log } from '@ims/messaging'

type Body = { sku: string }
type Result = { outcome: 'logged' }

/** Returns one outcome for each delivery: \`refused\` if a message can never be applied. Throw if it may succeed later. */
export function ${handler}(log: Log, flush: () => void): Handler<Body, Result> {
  return async (deliveries) => {
    for (const { body, messageId, redelivered } of deliveries)
      log.info({ messageId, redelivered, sku: body.sku }, '${queue} received')
    // The log lines are the only effect of a message, so they are written before it is acknowledged.
    flush()
    return deliveries.map(() => ({ kind: 'applied', result: { outcome: 'logged' }, repeated: false }))
  }
}
`

export const testText = ({ queue, consumer, contract, handler, file }: Names): string => `\
// ${consumer.replace('_', ' ').replace(/^c/, 'C')} on the in-memory broker: a message is handled once, and an invalid one is dead-lettered.
import { consumerEnvironment, ${contract} } from '@ims/messaging'
import { InMemoryRabbitmq } from '@ims/messaging/testing'
import { expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { ${handler} } from '../src/${file}'

it('handles each ${queue}, and dead-letters an invalid message', async () => {
  const lines: Record<string, unknown>[] = []
  const log = { debug() {}, info: (fields: object) => void lines.push({ ...fields }), warn() {}, error() {} }
  const flush = () => {}
  const rabbitmq = new InMemoryRabbitmq()
  const broker = rabbitmq.open({ publishes: [${contract}] })
  await broker.consume(${contract}, ${handler}(log, flush), consumerEnvironment.parse({}))
  const { messageId, reply } = await broker.requester.command(${contract}, { sku: 'A' }, { deadlineMs: 10_000 })
  expect(reply).toEqual({ kind: 'applied', result: { outcome: 'logged' } })
  expect(lines).toEqual([{ messageId, redelivered: false, sku: 'A' }])
  rabbitmq.put({ queue: '${queue}', content: Buffer.from('{"sku":1}'), properties: {} })
  await eventually(() => expect(rabbitmq.messages('${queue}.dead-letter')).toHaveLength(1))
  await broker.close()
})
`
