// A consumer whose dependency is down cancels its subscription. Its messages stay in the queue, in order, for another replica.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, connect } from 'amqplib'
import { eventually } from 'testkit'
import { z } from 'zod'
import { type Dependency, openBroker, type Subscription } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { command, deadLetterQueue } from '../src/contract.ts'
import type { Delivery, Handler, Outcome } from '../src/handler.ts'
import { clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

type Numbered = { n: number }
const applied: Outcome<string> = { kind: 'applied', result: 'done', repeated: false }
const databaseDown = () => Object.assign(new Error('the database is down'), { transient: true })
const config = {
  ...consumerEnvironment.parse({ CONSUMER_RETRY_MOST_MS: '50', CONSUMER_HOLD_MOST_MS: '200' }),
  batchMax: 60,
  prefetch: 60,
}

const underTest = rabbitmqOfFile('leaving')

describe('a consumer whose messages fail', () => {
  let channel: Channel
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })
  const logged: string[] = []
  const warned: string[] = []

  beforeEach(async () => {
    channel = await underTest.own(await connect(underTest.url)).createChannel()
    numbers = command(`leaving_${process.pid}_${Date.now()}`, numbers)
  })

  const consume = async (
    handler: Handler<Numbered, string>,
    dependency?: Dependency,
    clock = clockOf({}),
  ): Promise<Subscription> => {
    const info = (_: object, message: string) => void logged.push(message)
    const warn = (_: object, message: string) => void warned.push(message)
    const log = { ...quietService.log, info, warn }
    const broker = underTest.own(await openBroker(underTest.config, { ...quietService, log, clock }))
    return await broker.consume(numbers, handler, config, dependency)
  }
  const send = (count: number) => {
    for (let n = 0; n < count; n += 1) channel.sendToQueue(numbers.queue, Buffer.from(JSON.stringify({ n })))
  }
  const noting = (seen: number[]) => async (deliveries: readonly Delivery<Numbered>[]) => {
    seen.push(...deliveries.map(({ body }) => body.n))
    return deliveries.map(() => applied)
  }
  const consumers = async () => (await channel.checkQueue(numbers.queue)).consumerCount
  const depth = async () => (await channel.checkQueue(numbers.queue)).messageCount

  it('requeues its messages for a replica that can apply them', async () => {
    const seen: number[] = []
    const subscription = await consume(
      async () => {
        throw databaseDown()
      },
      async () => 'MySQL: connect ECONNREFUSED',
    )
    await consume(noting(seen))
    send(200)
    await eventually(() => expect(new Set(seen).size).toBe(200))
    await eventually(() => expect(subscription.notReady()).toContain('MySQL: connect ECONNREFUSED'))
  })

  it('cancels its subscription, reports why, and later resumes in the order of the queue', async () => {
    const seen: number[] = []
    let trouble: string | undefined = 'MySQL: Account is locked'
    const handler = noting(seen)
    const subscription = await consume(
      async (deliveries) => {
        if (trouble !== undefined) throw databaseDown()
        return await handler(deliveries)
      },
      async () => trouble,
    )
    send(60)
    await eventually(async () => expect(await consumers()).toBe(0))
    await eventually(async () => expect(await depth()).toBe(60))
    await eventually(() => expect(subscription.notReady()).toContain('MySQL: Account is locked'))
    trouble = undefined
    await eventually(() => expect(seen).toHaveLength(60))
    expect(seen).toEqual(Array.from({ length: 60 }, (_, n) => n))
    await eventually(() => {
      expect(subscription.notReady()).toBeUndefined()
      expect(logged).toContainEqual(
        expect.stringMatching(/^messages of leaving_\d+_\d+ are no longer held, after \d+\.\d s$/),
      )
      expect(logged.at(-1)).toBe('batch handled')
    })
  })

  it('logs repeatedly why it does not consume, but only once that it cancelled its subscription', async () => {
    warned.length = 0
    // This clock runs 100 times as fast as real time.
    const clock = { ...clockOf({}), nowMs: () => 100 * performance.now() }
    const fails = async () => {
      throw databaseDown()
    }
    await consume(fails, async () => 'MySQL: Account is locked', clock)
    send(10)
    const { queue } = numbers
    const waits = `not consuming ${queue}: MySQL: Account is locked`
    await eventually(() => expect(warned.filter((line) => line === waits).length).toBeGreaterThan(1))
    const left = `left the queue ${queue} until its messages can be applied: the database is down`
    expect(warned.filter((line) => line === left)).toHaveLength(1)
    expect(warned.filter((line) => line.startsWith('could not apply')).length).toBeLessThan(3)
  })

  it('uses a small prefetch while messages fail although the dependency is up, and a larger one afterwards', async () => {
    const batches: number[] = []
    let fails = true
    await consume(async (deliveries) => {
      batches.push(deliveries.length)
      if (fails) throw databaseDown()
      return deliveries.map(() => applied)
    })
    send(60)
    await eventually(() => expect(batches.at(-1)).toBe(10))
    const before = batches.length
    fails = false
    await eventually(async () => expect(await depth()).toBe(0))
    // The full prefetch needs a new subscription, which takes a moment.
    await eventually(() => {
      send(60)
      expect(Math.max(...batches.slice(before))).toBeGreaterThan(10)
    })
  })

  it('dead-letters the one message that fails when run by itself, even when it is the first in the queue', async () => {
    const seen: number[] = []
    const handler = noting(seen)
    await consume(async (deliveries) => {
      if (deliveries.some(({ body }) => body.n === 0)) throw new TypeError('a bug')
      return await handler(deliveries)
    })
    send(1)
    await eventually(async () => expect(await consumers()).toBe(0))
    for (let n = 1; n < 30; n += 1) channel.sendToQueue(numbers.queue, Buffer.from(JSON.stringify({ n })))
    await eventually(() => expect(seen).toHaveLength(29))
    const letter = await channel.get(deadLetterQueue(numbers.queue), { noAck: true })
    expect(letter && String(letter.content)).toBe('{"n":0}')
  })

  it('dead-letters the messages that fail when run one by one, even when there are more of them than the small prefetch', async () => {
    const seen: number[] = []
    const handler = noting(seen)
    let trouble: string | undefined = 'the database is down'
    const failing = async (deliveries: readonly Delivery<Numbered>[]) => {
      if (trouble !== undefined) throw databaseDown()
      if (deliveries.some(({ body }) => body.n < 25)) throw new TypeError('a bug')
      return await handler(deliveries)
    }
    await consume(failing, async () => trouble)
    send(40)
    await eventually(async () => expect(await depth()).toBe(40))
    await eventually(async () => expect(await consumers()).toBe(0))
    trouble = undefined
    await eventually(() => expect(seen).toHaveLength(15))
    const letters = async () => (await channel.checkQueue(deadLetterQueue(numbers.queue))).messageCount
    // A quorum queue may requeue the bad messages behind the good ones. They are then refused only when later good messages succeed.
    for (let n = 40; (await letters()) < 25 && n < 400; n += 1) {
      channel.sendToQueue(numbers.queue, Buffer.from(JSON.stringify({ n })))
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    await eventually(async () => expect(await letters()).toBe(25))
  })

  it('closes without waiting for its dependency', async () => {
    const broker = await openBroker(underTest.config, quietService)
    await broker.consume(
      numbers,
      async () => {
        throw databaseDown()
      },
      config,
      async () => 'down',
    )
    send(5)
    await eventually(async () => expect(await consumers()).toBe(0))
    const since = performance.now()
    await broker.close()
    expect(performance.now() - since).toBeLessThan(20_000)
    await eventually(async () => expect(await depth()).toBe(5))
  })
})
