// The metrics of messages on RabbitMQ. The dashboard and the alerts use them.
import { expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { z } from 'zod'
import { openBroker } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { command } from '../src/contract.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import { countingService } from './counting-service.ts'
import { rabbitmqOfFile } from './rabbitmq.ts'

const underTest = rabbitmqOfFile('counts')

it('starts the counters of producer and consumer at 0, and counts messages, outcomes and replies', async () => {
  const notes = command('notes', {
    body: z.object({ text: z.string() }),
    result: z.object({ outcome: z.literal('noted') }),
  })
  const queue = notes.queue
  const [sending, receiving] = [countingService(), countingService()]
  const producer = underTest.own(await openBroker(underTest.config, sending, { publishes: [notes] }))
  const consumer = underTest.own(await openBroker(underTest.config, receiving))
  let isDown = true
  const handler = async (
    deliveries: readonly Delivery<{ text: string }>[],
  ): Promise<readonly Outcome<{ outcome: 'noted' }>[]> => {
    if (isDown) throw Object.assign(new Error('the database is down'), { transient: true })
    return deliveries.map(({ body }) =>
      body.text === 'bad'
        ? { kind: 'refused', reason: 'handler-failed', error: 'bad' }
        : { kind: 'applied', result: { outcome: 'noted' }, repeated: body.text === 'again' },
    )
  }
  expect(sending.value('messages_confirmed', { queue })).toBe(0)
  expect(sending.value('replies_missing', { queue })).toBe(0)
  expect(sending.value('broker_reconnects', { connection: 'publishing' })).toBe(0)
  await consumer.consume(notes, handler, consumerEnvironment.parse({ CONSUMER_RETRY_MOST_MS: '20' }))
  for (const metric of ['messages_consumed', 'messages_duplicates', 'replies_sent'])
    expect(receiving.value(metric, { queue })).toBe(0)
  expect(receiving.value('messages_applied', { queue, outcome: 'noted' })).toBe(0)
  expect(receiving.value('messages_held', { queue })).toBe(0)
  await producer.publisher.publish(notes, { text: 'bad' })
  await eventually(() => expect(receiving.value('messages_held', { queue })).toBe(1))
  isDown = false
  await eventually(() => expect(receiving.value('messages_confirmed', { queue: `${queue}.dead-letter` })).toBe(1))
  await eventually(() => expect(receiving.value('messages_held', { queue })).toBe(0))
  await producer.publisher.publish(notes, { text: 'again' })
  await producer.requester.command(notes, { text: 'good' }, { deadlineMs: 60_000 })
  // The reply may arrive before the confirm.
  await eventually(() => expect(sending.value('messages_confirmed', { queue })).toBe(3))
  await eventually(() => expect(receiving.value('messages_confirmed', { queue: 'replies' })).toBe(1))
  await eventually(() => expect(receiving.value('replies_sent', { queue })).toBe(1))
  expect(receiving.value('messages_consumed', { queue })).toBe(3)
  expect(receiving.value('messages_applied', { queue, outcome: 'noted' })).toBe(1)
  expect(receiving.value('messages_duplicates', { queue })).toBe(1)
  expect(receiving.value('messages_dead_lettered', { queue, reason: 'handler-failed' })).toBe(1)
})

it('counts all unacknowledged messages in messages_held, not only those of the batch', async () => {
  const texts = command('texts', { body: z.object({ text: z.string() }), result: z.object({ done: z.boolean() }) })
  const queue = texts.queue
  const [sending, receiving] = [countingService(), countingService()]
  const producer = underTest.own(await openBroker(underTest.config, sending, { publishes: [texts] }))
  const consumer = underTest.own(await openBroker(underTest.config, receiving))
  let isDown = true
  const handler = async (deliveries: readonly Delivery[]): Promise<readonly Outcome<{ done: boolean }>[]> => {
    if (isDown) throw Object.assign(new Error('the database is down'), { transient: true })
    return deliveries.map(() => ({ kind: 'applied', result: { done: true }, repeated: false }))
  }
  const environment = { CONSUMER_BATCH_MOST: '1', CONSUMER_RETRY_MOST_MS: '20', CONSUMER_HOLD_MOST_MS: '60000' }
  await consumer.consume(texts, handler, consumerEnvironment.parse(environment))
  const publishing = Array.from({ length: 25 }, () => producer.publisher.publish(texts, { text: 'a' }))
  await Promise.all(publishing)
  await eventually(() => expect(receiving.value('messages_held', { queue })).toBe(25))
  isDown = false
  await eventually(() => expect(receiving.value('messages_held', { queue })).toBe(0))
  await eventually(() => expect(receiving.value('messages_applied', { queue, outcome: 'applied' })).toBe(25))
})
