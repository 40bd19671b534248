// The conformance suite for brokers. RabbitMQ, the in-memory broker and the simulated broker pass it.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { z } from 'zod'
import type { Broker, BrokerRole } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { command, deadLetterQueue, query } from '../src/contract.ts'
import { BadReply, NoReply, NotAccepted } from '../src/errors.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import type { Envelope } from '../src/outgoing/publisher.ts'

export interface Harness {
  open(role?: BrokerRole): Promise<Broker>
  /** Publishes bytes through another client, not through the brokers under test. */
  put(envelope: Envelope): Promise<void>
  /** All dead letters of a queue that have arrived so far. */
  deadLetters(
    queue: string,
  ): Promise<readonly { content: Buffer; headers: Record<string, unknown>; messageId: unknown }[]>
  close(): Promise<void>
}

const note = z.object({ text: z.string() })
const result = z.object({ outcome: z.literal('noted') })
const applied = (): Outcome<{ outcome: 'noted' }> => ({
  kind: 'applied',
  result: { outcome: 'noted' },
  repeated: false,
})
/** Applies every message and records its text. */
const noting = (seen: string[]) => async (deliveries: readonly Delivery<{ text: string }>[]) => {
  seen.push(...deliveries.map(({ body }) => body.text))
  return deliveries.map(applied)
}
/** Answers every query with `[1]` and records its body. */
const answering = (asked: unknown[]) => async (deliveries: readonly Delivery[]) => {
  asked.push(...deliveries.map(({ body }) => body))
  return deliveries.map(() => ({ kind: 'answered' as const, body: Buffer.from('[1]'), headers: {} }))
}
const config = consumerEnvironment.parse({ CONSUMER_RETRY_MOST_MS: '50' })

export function describeBroker(name: string, start: () => Promise<Harness>): void {
  describe(name, () => {
    let harness: Harness
    let producer: Broker
    let consumer: Broker
    let number = 0
    const contracts = () => {
      number += 1
      const queue = `suite_${process.pid}_${Date.now()}_${number}`
      return {
        notes: command(queue, { body: note, result }),
        answers: query(`${queue}_answers`, { body: z.unknown(), reply: z.array(z.number()) }),
      }
    }
    let { notes, answers } = contracts()

    beforeEach(async () => {
      harness = await start()
      ;({ notes, answers } = contracts())
      producer = await harness.open({ publishes: [notes, answers] })
      consumer = await harness.open()
    })
    afterEach(async () => {
      await producer.close()
      await consumer.close()
      await harness.close()
    })

    it('passes a published message to the handler, with its id', async () => {
      const seen: Delivery<{ text: string }>[] = []
      await consumer.consume(
        notes,
        async (deliveries) => {
          seen.push(...deliveries)
          return deliveries.map(applied)
        },
        config,
      )
      const { messageId } = await producer.publisher.publish(notes, { text: 'hello' })
      await eventually(() => expect(seen).toHaveLength(1))
      expect(seen[0]).toMatchObject({ body: { text: 'hello' }, messageId, redelivered: false })
    })

    it('keeps messages in order until they are consumed', async () => {
      for (const text of ['one', 'two', 'three']) await producer.publisher.publish(notes, { text })
      const seen: string[] = []
      await consumer.consume(notes, noting(seen), config)
      await eventually(() => expect(seen).toEqual(['one', 'two', 'three']))
    })

    it('refuses a message for a queue that does not exist', async () => {
      const { notes: nowhere } = contracts()
      await expect(producer.publisher.publish(nowhere, { text: 'lost?' })).rejects.toThrow(NotAccepted)
      await expect(producer.publisher.publish(nowhere, { text: 'lost?' })).rejects.toMatchObject({
        reason: 'unroutable',
      })
    })

    it('dead-letters a refused message with its reason, and applies the others', async () => {
      const seen: string[] = []
      const handler = async (deliveries: readonly Delivery<{ text: string }>[]) =>
        deliveries.map(({ body }): Outcome<{ outcome: 'noted' }> => {
          if (body.text === 'bad') return { kind: 'refused', reason: 'duplicate-sku', error: 'there is one already' }
          seen.push(body.text)
          return applied()
        })
      for (const text of ['good', 'bad', 'better']) await producer.publisher.publish(notes, { text })
      await consumer.consume(notes, handler, config)
      await eventually(() => expect(seen).toEqual(['good', 'better']))
      const letter = await firstDeadLetter(notes.queue)
      expect(JSON.parse(String(letter?.content))).toEqual({ text: 'bad' })
      expect(letter?.messageId).toMatch(/^[0-9a-f-]{36}$/)
      expect(letter?.headers).toMatchObject({
        'x-reason': 'duplicate-sku',
        'x-error': 'there is one already',
        'x-consumer': 'test',
      })
      expect(Date.parse(String(letter?.headers['x-failed-at']))).toBeGreaterThan(Date.now() - 60_000)
    })

    it.each([
      ['a body that is not JSON', '{"text": ', 'not-json'],
      ['an empty body', '', 'not-json'],
      ['a body that is not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'not-json'],
      ['a wrong member', '{"text": 5}', 'invalid'],
      ['a missing member', '{}', 'invalid'],
      ['an array', '[]', 'invalid'],
    ])('dead-letters %s without calling the handler, and continues', async (_, content, reason) => {
      const seen: string[] = []
      await consumer.consume(notes, noting(seen), config)
      await harness.put({ queue: notes.queue, content: Buffer.from(content), properties: {} })
      await producer.publisher.publish(notes, { text: 'next' })
      await eventually(() => expect(seen).toEqual(['next']))
      expect((await firstDeadLetter(notes.queue))?.headers['x-reason']).toBe(reason)
    })

    it('dead-letters a message that exceeds the size limit', async () => {
      await consumer.consume(notes, async () => [], { ...config, messageMaxBytes: 100 })
      await producer.publisher.publish(notes, { text: 'x'.repeat(200) })
      expect((await firstDeadLetter(notes.queue))?.headers['x-reason']).toBe('too-large')
    })

    it('retries a message while a dependency is down, then applies it once', async () => {
      const seen: { text: string; redelivered: boolean }[] = []
      let isDown = true
      const subscription = await consumer.consume(
        notes,
        async (deliveries) => {
          if (isDown) throw Object.assign(new Error('the database is down'), { transient: true })
          seen.push(...deliveries.map(({ body, redelivered }) => ({ ...body, redelivered })))
          return deliveries.map(applied)
        },
        config,
      )
      await producer.publisher.publish(notes, { text: 'held' })
      await eventually(() => expect(subscription.notReady()).toContain('the database is down'))
      isDown = false
      await eventually(() => expect(seen).toEqual([{ text: 'held', redelivered: true }]))
      expect(subscription.notReady()).toBeUndefined()
      expect(await harness.deadLetters(notes.queue)).toEqual([])
    })

    it('dead-letters the message that fails with an unexpected error, and applies the others', async () => {
      const seen: string[] = []
      for (const text of ['a', 'poison', 'b']) await producer.publisher.publish(notes, { text })
      await consumer.consume(
        notes,
        async (deliveries) => {
          if (deliveries.some(({ body }) => body.text === 'poison')) throw new TypeError('a bug')
          return await noting(seen)(deliveries)
        },
        config,
      )
      const letter = await firstDeadLetter(notes.queue)
      expect(letter?.headers).toMatchObject({ 'x-reason': 'handler-failed' })
      expect(letter?.headers['x-error']).toContain('a bug')
      await eventually(() => expect(seen).toEqual(['a', 'b']))
    })

    it('reports the outcome of a command to its sender while another message of the batch is still retried', async () => {
      let isLocked = true
      await producer.publisher.publish(notes, { text: 'locked' })
      const asked = producer.requester.command(notes, { text: 'free' }, { deadlineMs: 20_000 })
      await producer.publisher.publish(notes, { text: 'last' })
      await consumer.consume(
        notes,
        async (deliveries) => {
          if (isLocked && deliveries.some(({ body }) => body.text === 'locked'))
            throw Object.assign(new Error('row is locked'), { transient: true, contended: true })
          return deliveries.map(applied)
        },
        { ...config, holdMaxMs: 60_000 },
      )
      expect((await asked).reply).toMatchObject({ kind: 'applied' })
      isLocked = false
    }, 30_000)

    it('returns the body and the headers of the reply to a query', async () => {
      await consumer.consume(
        answers,
        async (deliveries) =>
          deliveries.map(({ headers }) => ({
            kind: 'answered',
            body: Buffer.from(`[${headers['x-limit']}]`),
            headers: { 'x-next': 7 },
          })),
        config,
      )
      const reply = await producer.requester.request(answers, ['question'], {
        deadlineMs: 5_000,
        headers: { 'x-limit': 3 },
      })
      expect(reply.body()).toEqual([3])
      expect(String(reply.raw)).toBe('[3]')
      expect(reply.headers['x-next']).toBe(7)
    })

    it('rejects a query with NoReply when no reply arrives before the deadline', async () => {
      await expect(producer.requester.request(answers, [], { deadlineMs: 100 })).rejects.toThrow(NoReply)
    })

    it('rejects a query for a queue that does not exist', async () => {
      const { answers: nowhere } = contracts()
      await expect(producer.requester.request(nowhere, [], { deadlineMs: 2_000 })).rejects.toThrow(NotAccepted)
    })

    it('rejects a query with BadReply when the reply is invalid or an error', async () => {
      const bodies = ['["x"]', '{}', '[1']
      await consumer.consume(
        answers,
        async (deliveries) =>
          deliveries.map((): Outcome<number[]> => {
            const body = bodies.shift()
            return body === undefined
              ? { kind: 'refused', reason: 'invalid', error: 'no' }
              : { kind: 'answered', body: Buffer.from(body), headers: {} }
          }),
        config,
      )
      for (let request = 0; request < 4; request += 1)
        await expect(
          producer.requester.request(answers, [], { deadlineMs: 2_000 }).then((reply) => reply.body()),
        ).rejects.toThrow(BadReply)
    })

    it('reports the outcome of a command to its sender', async () => {
      await consumer.consume(
        notes,
        async (deliveries) =>
          deliveries.map(({ body }) =>
            body.text === 'bad' ? { kind: 'refused', reason: 'duplicate-sku', error: 'taken' } : applied(),
          ),
        config,
      )
      const good = await producer.requester.command(notes, { text: 'good' }, { deadlineMs: 5_000 })
      expect(good.reply).toEqual({ kind: 'applied', result: { outcome: 'noted' } })
      const bad = await producer.requester.command(notes, { text: 'bad' }, { deadlineMs: 5_000 })
      expect(bad.reply).toEqual({ kind: 'refused', reason: 'duplicate-sku', error: 'taken' })
      // The publish below leaves one dead letter. If the command above had left one too, there would be two.
      const { messageId } = await producer.publisher.publish(notes, { text: 'bad' })
      expect((await firstDeadLetter(notes.queue))?.messageId).toBe(messageId)
    })

    it('dead-letters a refused command when its sender has stopped waiting', async () => {
      const refusing = async (deliveries: readonly unknown[]) =>
        deliveries.map(() => ({ kind: 'refused' as const, reason: 'duplicate-sku', error: 'taken' }))
      const { messageId, reply } = await producer.requester.command(notes, { text: 'bad' }, { deadlineMs: 100 })
      expect(reply).toEqual({ kind: 'no-reply' })
      await consumer.consume(notes, refusing, config)
      expect((await firstDeadLetter(notes.queue))?.messageId).toBe(messageId)
    })

    it('applies a command after its sender has stopped waiting', async () => {
      const { reply } = await producer.requester.command(notes, { text: 'later' }, { deadlineMs: 100 })
      expect(reply).toEqual({ kind: 'no-reply' })
      const seen: string[] = []
      await consumer.consume(notes, noting(seen), config)
      await eventually(() => expect(seen).toEqual(['later']))
    })

    it('does not pass a late reply to a later command with the same message id', async () => {
      const ask = (text: string, deadlineMs: number) =>
        producer.requester.command(notes, { text }, { deadlineMs, messageId: 'one' })
      expect((await ask('first', 100)).reply).toEqual({ kind: 'no-reply' })
      const second = ask('second', 20_000)
      await consumer.consume(
        notes,
        async (deliveries) =>
          deliveries.map(({ messageId, body }) =>
            messageId === 'one' && body.text === 'first'
              ? applied()
              : { kind: 'refused', reason: 'message-id-reused', error: 'used before' },
          ),
        { ...config, batchMax: 1 },
      )
      expect(await second).toEqual({
        messageId: 'one',
        reply: { kind: 'refused', reason: 'message-id-reused', error: 'used before' },
      })
    })

    it('refuses a command for a queue that does not exist', async () => {
      const { notes: nowhere } = contracts()
      await expect(producer.requester.command(nowhere, { text: 'x' }, { deadlineMs: 2_000 })).rejects.toThrow(
        NotAccepted,
      )
    })

    it('sends no reply to a queue that is not a reply queue', async () => {
      const seen: string[] = []
      await consumer.consume(notes, noting(seen), config)
      await harness.put({
        queue: notes.queue,
        content: Buffer.from('{"text":"trap"}'),
        properties: { replyTo: deadLetterQueue(notes.queue) },
      })
      await producer.publisher.publish(notes, { text: 'next' })
      await eventually(() => expect(seen).toEqual(['trap', 'next']))
      expect(await harness.deadLetters(notes.queue)).toEqual([])
    })

    it('does not run the handler for a query without a reply address, and continues', async () => {
      const asked: unknown[] = []
      await consumer.consume(answers, answering(asked), config)
      await harness.put({ queue: answers.queue, content: Buffer.from('["no reply address"]'), properties: {} })
      expect((await producer.requester.request(answers, ['next'], { deadlineMs: 5_000 })).body()).toEqual([1])
      expect(asked).toEqual([['next']])
    })

    it('dead-letters a query that is not JSON, and one whose reply address is not a reply queue', async () => {
      await consumer.consume(answers, async () => [], config)
      await harness.put({ queue: answers.queue, content: Buffer.from('[1'), properties: {} })
      await harness.put({ queue: answers.queue, content: Buffer.from('[]'), properties: { replyTo: 'not-an-address' } })
      await eventually(async () => {
        const letters = await harness.deadLetters(answers.queue)
        expect(letters.map(({ headers }) => headers['x-reason'])).toEqual(['not-json', 'invalid'])
      })
    })

    it('drops a query that no consumer has taken before its deadline', async () => {
      await expect(producer.requester.request(answers, 'late', { deadlineMs: 100 })).rejects.toThrow(NoReply)
      // The broker counts from the arrival of the query, so it drops it a little later.
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      const asked: unknown[] = []
      await consumer.consume(answers, answering(asked), config)
      await producer.requester.request(answers, 'in time', { deadlineMs: 5_000 })
      expect(asked).toEqual(['in time'])
    })

    it('stops waiting for a reply when the signal of the caller aborts', async () => {
      const signal = AbortSignal.timeout(50)
      const options = { deadlineMs: 600_000, signal }
      await expect(producer.requester.request(answers, [], options)).rejects.toThrow()
      expect((await producer.requester.command(notes, { text: 'x' }, options)).reply).toEqual({ kind: 'no-reply' })
    })

    it('delivers to the second consumer of a queue after the first one has closed', async () => {
      const seen: string[] = []
      const first = await consumer.consume(notes, noting([]), config)
      const other = await harness.open()
      await other.consume(notes, noting(seen), config)
      await first.close()
      expect(await producer.withoutConsumer([notes])).toEqual([])
      await producer.publisher.publish(notes, { text: 'next' })
      await eventually(() => expect(seen).toEqual(['next']))
      await other.close()
    })

    it('applies a command whose reply queue does not exist, and continues', async () => {
      const seen: string[] = []
      await consumer.consume(notes, noting(seen), config)
      const properties = { replyTo: 'amq.gen-of-a-deleted-queue' }
      await harness.put({ queue: notes.queue, content: Buffer.from('{"text":"no reply"}'), properties })
      await producer.publisher.publish(notes, { text: 'next' })
      await eventually(() => expect(seen).toEqual(['no reply', 'next']))
    })

    it('handles each query separately: a query that fails or is slow does not delay the others', async () => {
      let end = () => {}
      const ended = new Promise<void>((resolve) => {
        end = resolve
      })
      await consumer.consume(
        answers,
        async (deliveries) => {
          for (const { body } of deliveries) {
            if (body === 'failing') throw Object.assign(new Error('the database is down'), { transient: true })
            if (body === 'long') await ended
          }
          return deliveries.map(() => ({ kind: 'answered', body: Buffer.from('[1]'), headers: {} }))
        },
        config,
      )
      const ask = (body: string, deadlineMs = 20_000) => producer.requester.request(answers, body, { deadlineMs })
      const waiting = [ask('long'), ask('failing', 2_000)].map((reply) => reply.catch((error: Error) => error))
      for (const body of ['a', 'b', 'c']) expect((await ask(body)).body()).toEqual([1])
      end()
      expect(await waiting[0]).toMatchObject({ raw: Buffer.from('[1]') })
      expect(await waiting[1]).toBeInstanceOf(NoReply)
    })

    it('reports which queues have no consumer', async () => {
      expect(await producer.withoutConsumer([notes, answers])).toEqual([notes.queue, answers.queue])
      await consumer.consume(notes, async (deliveries) => deliveries.map(applied), config)
      expect(await producer.withoutConsumer([notes, answers])).toEqual([answers.queue])
    })

    it('reports the waiting messages, consumers and dead letters of each queue', async () => {
      await producer.publisher.publish(answers, 'one')
      await consumer.consume(notes, async (deliveries) => deliveries.map(applied), config)
      await harness.put({ queue: notes.queue, content: Buffer.from('not JSON'), properties: {} })
      await eventually(async () =>
        expect(await producer.queueStates([notes, answers])).toEqual([
          { queue: notes.queue, waiting: 0, consumers: 1, deadLetters: 1 },
          { queue: answers.queue, waiting: 1, consumers: 0, deadLetters: 0 },
        ]),
      )
    })

    async function firstDeadLetter(queue: string) {
      let letters: Awaited<ReturnType<Harness['deadLetters']>> = []
      await eventually(async () => {
        letters = await harness.deadLetters(queue)
        expect(letters).toHaveLength(1)
      })
      return letters[0]
    }
  })
}
