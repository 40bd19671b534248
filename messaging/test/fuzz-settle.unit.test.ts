// Each message is settled exactly once, whatever its batch is and whatever the handler returns or throws.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { eventually, fuzzParameters } from 'testkit'
import { z } from 'zod'
import { consumerEnvironment } from '../src/config.ts'
import { command, deadLetterQueue } from '../src/contract.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import { InMemoryRabbitmq } from '../src/testing.ts'

const runs = fuzzParameters(60)
const REPLIES = 'amq.gen-replies'

const plan = fc.record({
  /** The outcome of the message once the handler returns one. */
  end: fc.constantFrom('applied', 'repeated', 'refused'),
  /**
   * How the attempts before that outcome fail: the dependency is down, the handler throws an error or `undefined`, or it returns
   * too few or too many outcomes.
   */
  failures: fc.array(fc.constantFrom('transient', 'error', 'nothing', 'too few', 'too many'), { maxLength: 4 }),
  wantsReply: fc.boolean(),
  /** The content is not JSON. */
  broken: fc.boolean(),
})
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never

const contract = command('work', {
  body: z.object({ n: z.int() }),
  result: z.object({ outcome: z.literal('done') }),
})

/** A handler that follows the plans, and counts in `reported` how often it returned an outcome for each message. */
function planned(plans: readonly Plan[], reported: Map<number, number>) {
  const failed = new Map<number, number>()
  return async (deliveries: readonly Delivery<{ n: number }>[]): Promise<readonly Outcome<{ outcome: 'done' }>[]> => {
    const outcomes = deliveries.map(
      ({ body }): Outcome<{ outcome: 'done' }> =>
        plans[body.n]?.end === 'refused'
          ? { kind: 'refused', reason: 'invalid', error: 'planned' }
          : { kind: 'applied', result: { outcome: 'done' }, repeated: plans[body.n]?.end === 'repeated' },
    )
    for (const { body } of deliveries) {
      const attempt = failed.get(body.n) ?? 0
      const failure = plans[body.n]?.failures[attempt]
      if (failure === undefined) continue
      failed.set(body.n, attempt + 1)
      if (failure === 'transient') throw Object.assign(new Error('away'), { transient: true })
      if (failure === 'error') throw new TypeError('a bug')
      if (failure === 'nothing') throw undefined
      return failure === 'too few' ? outcomes.slice(1) : [...outcomes, ...outcomes]
    }
    for (const { body } of deliveries) reported.set(body.n, (reported.get(body.n) ?? 0) + 1)
    return outcomes
  }
}

describe('a consumer of the in-memory broker', () => {
  it('settles each message once, replies once to each sender that requested a reply, and loses no message', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 1, max: 10 }),
        async (plans, batchMax) => {
          const rabbitmq = new InMemoryRabbitmq()
          const broker = rabbitmq.open({ publishes: [contract, { ...contract, queue: REPLIES }] })
          for (const [n, { wantsReply, broken }] of plans.entries())
            rabbitmq.put({
              queue: contract.queue,
              content: Buffer.from(broken ? '{' : JSON.stringify({ n })),
              properties: {
                messageId: String(n),
                ...(wantsReply ? { replyTo: REPLIES, correlationId: String(n) } : {}),
              },
            })
          const reported = new Map<number, number>()
          const config = consumerEnvironment.parse({ CONSUMER_RETRY_MOST_MS: '1' })
          await broker.consume(contract, planned(plans, reported), { ...config, batchMax })
          const letters = () =>
            rabbitmq.messages(deadLetterQueue(contract.queue)).map(({ properties }) => Number(properties.messageId))
          const settled = () => [...letters(), ...[...reported.keys()].filter((n) => plans[n]?.end !== 'refused')]
          await eventually(() => expect(settled()).toHaveLength(plans.length))
          await broker.close()
          expect(settled().sort((a, b) => a - b)).toEqual(plans.map((_, n) => n))
          for (const times of reported.values()) expect(times).toBe(1)
          for (const [n, { broken }] of plans.entries()) if (broken) expect(reported.has(n)).toBe(false)
          expect(rabbitmq.messages(contract.queue)).toEqual([])
          const replied = rabbitmq.messages(REPLIES).map(({ properties }) => Number(properties.correlationId))
          expect(replied.sort((a, b) => a - b)).toEqual(plans.flatMap(({ wantsReply }, n) => (wantsReply ? [n] : [])))
        },
      ),
      runs,
    )
  })
})
