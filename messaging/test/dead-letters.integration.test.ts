// Dead letters on RabbitMQ: browsing changes nothing, and redriving loses nothing even when it is interrupted.
import { setTimeout as pauseMs } from 'node:timers/promises'
import { beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, startTcpProxy } from 'testkit'
import type { RabbitmqConfig } from '../src/config.ts'
import type { DeadLetter } from '../src/dead-letters/described.ts'
import { type Choice, type DeadLetterDesk, deadLetterDesk } from '../src/dead-letters/desk.ts'
import { type DeadLetterReader, openReader } from '../src/dead-letters/reader.ts'
import { quietService } from '../src/testing.ts'
import { connectPeer, DEAD, ids, type Peer, QUEUE } from './dead-letters.ts'
import { onLoopback, rabbitmqOfFile } from './rabbitmq.ts'

const ALL: Choice = { by: 'all' }
const MIB = 1_048_576

const underTest = rabbitmqOfFile('dead_letters')

describe('dead letters', () => {
  let config: RabbitmqConfig
  let desk: DeadLetterDesk
  let peer: Peer

  beforeAll(() => {
    config = underTest.config
    desk = deadLetterDesk(config, quietService)
  })
  beforeEach(async () => {
    peer = underTest.own(await connectPeer(underTest.url))
    await peer.empty()
  })

  const browse = async (bodyMaxBytes = 1_000): Promise<DeadLetter[]> => {
    const seen: DeadLetter[] = []
    await desk.browse(
      QUEUE,
      (letter) => {
        seen.push(letter)
        return true
      },
      { bodyMaxBytes },
    )
    return seen
  }
  const browsedIds = async () => (await browse()).map(({ id }) => id)

  describe('browsing', () => {
    it('shows the reason, error, time, consumer, attempts and body of a dead letter', async () => {
      await peer.deadLetter(1)
      expect(await browse()).toMatchObject([
        {
          id: 'id-0',
          queue: QUEUE,
          reason: 'invalid',
          error: 'sku: must not be empty',
          failedAt: '2026-01-02T03:04:05.678Z',
          by: 'consumer_two',
          attempts: 1,
          bytes: 12,
          body: '{"number":0}',
        },
      ])
    })

    it('shows a message that the broker dead-lettered, which can be redriven without the broker’s headers', async () => {
      peer.channel.sendToQueue(QUEUE, Buffer.from('{}'), { persistent: true, messageId: 'by-broker' })
      await peer.channel.waitForConfirms()
      await eventually(async () => {
        const message = await peer.channel.get(QUEUE)
        if (message) peer.channel.nack(message, false, false)
        expect(await peer.depth(DEAD)).toBe(1)
      })
      expect(await browse()).toMatchObject([{ id: 'by-broker', reason: 'rejected', by: 'broker' }])
      expect(await desk.redrive(QUEUE, ALL)).toMatchObject({ done: 1, left: 0 })
      const [message] = await peer.peek(QUEUE, 1)
      expect(message?.properties).toMatchObject({ messageId: 'by-broker', headers: {} })
      expect(Object.keys(message?.properties.headers ?? {})).toEqual([])
    })

    it('keeps all messages in order when they are read 30 times in several windows', async () => {
      await peer.deadLetter(400)
      for (let time = 0; time < 30; time += 1) expect(await browsedIds()).toEqual(ids(0, 400))
      await eventually(async () => expect(await peer.depth(DEAD)).toBe(400))
      expect((await peer.peek(DEAD, 400)).map(({ properties }) => properties.messageId)).toEqual(ids(0, 400))
    })

    it('loses no dead letter when the connections of 30 readers are cut before they close', async () => {
      const proxy = await startTcpProxy(underTest.server)
      await peer.deadLetter(20)
      for (let time = 0; time < 30; time += 1) {
        const reader = await openReader(QUEUE, { ...config, servers: [onLoopback(proxy.port)] }, quietService)
        expect((await allOf(reader)).sort()).toEqual(ids(0, 20).sort())
        proxy.cut()
        await reader.close()
        await eventually(async () => expect(await peer.depth(DEAD)).toBe(20))
      }
      await proxy.close()
      expect((await browsedIds()).sort()).toEqual(ids(0, 20).sort())
    })

    it('keeps no large body in memory after browsing or discarding', async () => {
      const body = Buffer.alloc(15 * MIB, 'x')
      for (let n = 0; n < 8; n += 1) peer.channel.sendToQueue(DEAD, body, { persistent: true })
      await peer.channel.waitForConfirms()
      const visit = () => true
      for (const read of [() => desk.browse(QUEUE, visit, { bodyMaxBytes: 0 }), () => desk.discard(QUEUE, ALL)]) {
        expect(await read()).toMatchObject({ total: 8, seen: 8 })
        expect(process.memoryUsage().arrayBuffers - body.length).toBeLessThan(10 * MIB)
      }
    })

    it('ends with the last message that was in the queue at the start, although more are dead-lettered meanwhile', async () => {
      await peer.deadLetter(200)
      let number = 1_000
      const seen: string[] = []
      const { total } = await desk.browse(
        QUEUE,
        async ({ id }) => {
          seen.push(id)
          await peer.deadLetter(1, number++)
          return true
        },
        { bodyMaxBytes: 0 },
      )
      expect(total).toBe(200)
      expect(seen).toEqual(ids(0, 200))
      await eventually(async () => expect(await peer.depth(DEAD)).toBe(400))
    })

    it('rejects a second reader because the queue is in use, and does not disturb the first', async () => {
      await peer.deadLetter(100)
      const first = await openReader(QUEUE, config, quietService)
      expect(await first.window()).toHaveLength(1)
      await expect(browse()).rejects.toMatchObject({
        trouble: 'busy',
        message: expect.stringContaining('create_item.dead-letter is in use by another reader'),
      })
      await expect(desk.redrive(QUEUE, ALL)).rejects.toMatchObject({ trouble: 'busy' })
      expect(await allOf(first)).toEqual(ids(1, 100))
      await first.close()
      await eventually(async () => expect(await browsedIds()).toEqual(ids(0, 100)))
    })

    it('shows each of several concurrent readers all messages, or rejects it as busy', async () => {
      await peer.deadLetter(300)
      let refused = 0
      for (let round = 0; round < 25; round += 1) {
        const readers = await Promise.all(
          Array.from({ length: 3 }, async (_, number) => {
            await pauseMs(number * round)
            return await browsedIds().catch((error) => error)
          }),
        )
        for (const seen of readers) {
          if (Array.isArray(seen)) expect(seen).toEqual(ids(0, 300))
          else expect(seen).toMatchObject({ trouble: 'busy' })
        }
        refused += readers.filter((seen) => !Array.isArray(seen)).length
      }
      expect(refused).toBeLessThan(75)
      expect(await browsedIds()).toEqual(ids(0, 300))
    })

    it('does not prevent a concurrent discard from removing all messages', async () => {
      for (let round = 0; round < 10; round += 1) {
        await peer.deadLetter(200)
        let isDone = false
        const browsing = (async () => {
          while (!isDone) await browse().catch((error) => expect(error).toMatchObject({ trouble: 'busy' }))
        })()
        for (;;) {
          const outcome = await desk.discard(QUEUE, ALL).catch((error) => {
            expect(error).toMatchObject({ trouble: 'busy' })
          })
          if (!outcome) continue
          expect(outcome).toMatchObject({ total: 200, done: 200, left: 0 })
          break
        }
        isDone = true
        await browsing
        expect(await peer.depth(DEAD)).toBe(0)
      }
    })

    it('counts all messages when it starts, including those that the previous reader has just requeued', async () => {
      await peer.deadLetter(1_500)
      for (let time = 0; time < 25; time += 1) {
        const reader = await openReader(QUEUE, config, quietService)
        expect(reader.total).toBe(1_500)
        while ((await reader.window()).length < 256);
        await reader.close()
      }
    })

    it('starts with a window of one message, and keeps windows within the byte limit when large messages follow small ones', async () => {
      const bytes = (number: number) => (number < 100 || number % 10 > 0 ? 100 : 500_000)
      for (let number = 0; number < 200; number += 1)
        peer.channel.sendToQueue(DEAD, Buffer.alloc(bytes(number), 'x'), {
          persistent: true,
          messageId: `id-${number}`,
        })
      await peer.channel.waitForConfirms()
      const reader = await openReader(QUEUE, { ...config, deadLetterWindowBytes: 1_200_000 }, quietService)
      const seen: string[] = []
      for (;;) {
        const window = await reader.window()
        if (seen.length === 0) expect(window).toHaveLength(1)
        if (window.length === 0) break
        const held = window.map(({ content }) => content.length)
        expect(held.reduce((sum, each) => sum + each)).toBeLessThanOrEqual(1_200_000)
        expect(held).toEqual(window.map((_, index) => bytes(seen.length + index)))
        seen.push(...window.map(({ properties }) => String(properties.messageId)))
      }
      expect(seen).toEqual(ids(0, 200))
      await reader.close()
      expect((await peer.peek(DEAD, 200)).map(({ properties }) => properties.messageId)).toEqual(ids(0, 200))
    })

    it('fails when another client removes messages that it has not read yet', async () => {
      await peer.deadLetter(100)
      const reader = await openReader(QUEUE, config, quietService)
      await reader.window()
      await peer.channel.purgeQueue(DEAD)
      await expect(reader.window()).rejects.toMatchObject({ trouble: 'busy' })
      await reader.close()
    })

    it('shows nothing for an empty queue, and rejects with an error that names the queue if it is missing', async () => {
      expect(await browse()).toEqual([])
      await peer.channel.deleteQueue(DEAD)
      await expect(browse()).rejects.toMatchObject({
        trouble: 'no-queue',
        message: 'the broker has no queue create_item.dead-letter',
      })
    })

    it('distinguishes an unreachable broker from a rejected login', async () => {
      const unreachable = deadLetterDesk({ ...config, servers: [onLoopback(1)] }, quietService)
      await expect(unreachable.browse(QUEUE, () => true, { bodyMaxBytes: 0 })).rejects.toMatchObject({
        trouble: 'disconnected',
      })
      const rejected = deadLetterDesk({ ...config, password: 'wrong' }, quietService)
      await expect(rejected.browse(QUEUE, () => true, { bodyMaxBytes: 0 })).rejects.toMatchObject({
        trouble: 'not-permitted',
      })
    })

    it('shows hostile messages without failing', async () => {
      const { channel } = peer
      const put = (content: Buffer, properties: object) => channel.sendToQueue(DEAD, content, properties)
      put(Buffer.from([0xff, 0xfe, 0x00]), {
        headers: { 'x-reason': 7, 'x-error': { deep: [1] }, 'x-failed-at': true },
      })
      put(Buffer.from('x'.repeat(3_000_000)), { headers: { 'x-death': 'no list', bytes: Buffer.from([1]) } })
      put(Buffer.from(''), { headers: { 'x-death': [{ reason: 5, time: { value: -1 } }] }, messageId: '\u001b[2J' })
      await channel.waitForConfirms()
      const [bytes, huge, hostile] = await browse(5)
      expect(bytes).toMatchObject({ reason: 'unknown', encoding: 'base64', body: '//4A', bytes: 3 })
      expect(huge).toMatchObject({
        bytes: 3_000_000,
        body: 'xxxxx',
        shortened: true,
        headers: { bytes: { base64: 'AQ==' } },
      })
      expect(hostile).toMatchObject({ id: '\u001b[2J', body: '', bytes: 0 })
      expect(bytes?.id).toMatch(/^~[0-9a-f]{32}$/)
    })
  })

  describe('redriving', () => {
    it('publishes to the original queue with the same id, without the headers that describe the failure', async () => {
      await peer.deadLetter(3)
      expect(await desk.redrive(QUEUE, ALL)).toMatchObject({ total: 3, done: 3, left: 0 })
      const [message] = await peer.peek(QUEUE, 3)
      expect(message?.properties).toMatchObject({
        messageId: 'id-0',
        deliveryMode: 2,
        headers: { kept: 'of the sender' },
      })
      expect(Object.keys(message?.properties.headers ?? {})).toEqual(['kept'])
      expect(await peer.drain(QUEUE)).toEqual(ids(0, 3))
      expect(await peer.depth(DEAD)).toBe(0)
    })

    it('takes only the messages with a given id or reason, and keeps the others in order', async () => {
      await peer.deadLetter(120, 0, (number) => (number % 3 === 0 ? 'duplicate-sku' : 'invalid'))
      const byReason = await desk.redrive(QUEUE, { by: 'reason', reason: 'duplicate-sku' })
      expect(byReason).toMatchObject({ total: 120, seen: 120, done: 40, left: 80 })
      expect(byReason.reasons).toEqual(new Map([['duplicate-sku', 40]]))
      const byId = await desk.redrive(QUEUE, { by: 'id', ids: new Set(['id-1', 'id-118', 'unknown']) })
      expect(byId).toMatchObject({ total: 80, done: 2, left: 78 })
      const others = ids(0, 120).filter((_, n) => n % 3 !== 0 && n !== 1 && n !== 118)
      expect(await browsedIds()).toEqual(others)
      expect(await peer.drain(QUEUE)).toEqual([...ids(0, 120).filter((_, n) => n % 3 === 0), 'id-1', 'id-118'])
    })

    it('changes nothing in a dry run, and reports what it would do', async () => {
      await peer.deadLetter(10)
      expect(await desk.redrive(QUEUE, ALL, { dryRun: true })).toMatchObject({ total: 10, done: 10, left: 10 })
      expect(await peer.depth(QUEUE)).toBe(0)
      expect(await browsedIds()).toEqual(ids(0, 10))
    })

    it('stops at a limit and reports that, even when the limit is in the last window', async () => {
      await peer.deadLetter(10)
      expect(await desk.redrive(QUEUE, ALL, { max: 4 })).toMatchObject({ done: 4, left: 6, stopped: 'limit' })
      expect(await browsedIds()).toEqual(ids(4, 10))
      expect(await peer.drain(QUEUE)).toEqual(ids(0, 4))
    })

    it('removes nothing when the original queue does not exist', async () => {
      await peer.deadLetter(10)
      await peer.channel.deleteQueue(QUEUE)
      expect(await desk.redrive(QUEUE, ALL)).toMatchObject({ done: 0, left: 10, stopped: { trouble: 'unroutable' } })
      expect(await browsedIds()).toEqual(ids(0, 10))
    })

    it('loses nothing when the original queue is full, and reports that', async () => {
      await peer.deadLetter(10)
      await peer.channel.deleteQueue(QUEUE)
      // A quorum queue lets a transaction exceed its limit.
      const full = { 'x-queue-type': 'classic', 'x-overflow': 'reject-publish' }
      await peer.channel.assertQueue(QUEUE, { maxLength: 5, arguments: full })
      const { left, maybeSent, stopped } = await desk.redrive(QUEUE, ALL)
      expect(stopped).toMatchObject({ trouble: 'unconfirmed', message: expect.stringContaining('it is full') })
      expect(left + (await peer.depth(QUEUE))).toBeGreaterThanOrEqual(10)
      expect(maybeSent).toBeGreaterThanOrEqual(10 - left)
      await peer.channel.deleteQueue(QUEUE)
    })

    // Without an id, a message that is redriven twice would be applied twice.
    it('gives a message without an id the id that browsing shows', async () => {
      peer.channel.sendToQueue(DEAD, Buffer.from('{}'), { persistent: true, replyTo: 'amq.gen-x', correlationId: 'c' })
      await peer.channel.waitForConfirms()
      const [letter] = await browse()
      await desk.redrive(QUEUE, { by: 'id', ids: new Set([letter?.id ?? '']) })
      const [message] = await peer.peek(QUEUE, 1)
      expect(message?.properties).toMatchObject({ messageId: letter?.id, replyTo: undefined, correlationId: 'c' })
    })

    it('delivers no copies to queues that the sender names in CC', async () => {
      const other = `${QUEUE}.other`
      await peer.channel.assertQueue(other, { durable: true })
      peer.channel.sendToQueue(DEAD, Buffer.from('{}'), { persistent: true, headers: { CC: [other] } })
      await peer.channel.waitForConfirms()
      expect(await peer.drain(other)).toHaveLength(1)
      expect(await desk.redrive(QUEUE, ALL)).toMatchObject({ done: 1, left: 0 })
      expect(await peer.depth(QUEUE)).toBe(1)
      expect(await peer.depth(other)).toBe(0)
    })

    it('drops a header that cannot be encoded again, and redrives the message', async () => {
      const headers = { odd: typed('!'), kept: 1 }
      peer.channel.sendToQueue(DEAD, Buffer.from('{}'), { messageId: 'odd', persistent: true, headers })
      await peer.channel.waitForConfirms()
      await peer.deadLetter(1)
      expect(await desk.redrive(QUEUE, ALL)).toMatchObject({ done: 2, left: 0 })
      const [message] = await peer.peek(QUEUE, 2)
      expect(message?.properties).toMatchObject({ messageId: 'odd', headers: { kept: 1 } })
      expect(message?.properties.headers).not.toHaveProperty('odd')
    })

    it('loses no message when the connection is cut during a redrive', async () => {
      const proxy = await startTcpProxy(underTest.server)
      const cutOff = deadLetterDesk({ ...config, servers: [onLoopback(proxy.port)] }, quietService)
      let wasCut = 0
      for (let round = 0; round < 8; round += 1) {
        await peer.empty()
        await peer.deadLetter(3_000)
        const over = new AbortController()
        // The delay starts when the connection is open, because opening it can take a long time on a busy machine.
        const cutting = eventually(() => expect(proxy.open).toBeGreaterThan(0)).then(() => pauseMs(30 + round * 40))
        void cutting.then(() => over.signal.aborted || proxy.cut())
        const outcome = await cutOff.redrive(QUEUE, ALL).catch((error) => ({ stopped: error, done: 0 }))
        over.abort()
        await cutting
        if (outcome.stopped !== undefined) {
          wasCut += 1
          expect(outcome.stopped).toMatchObject({ trouble: 'disconnected' })
        }
        await eventually(async () => {
          const found = (await peer.depth(QUEUE)) + (await peer.depth(DEAD))
          expect(found).toBeGreaterThanOrEqual(3_000)
        })
        const redriven = await peer.drain(QUEUE)
        expect(redriven.length).toBeGreaterThanOrEqual(outcome.done)
        expect(new Set([...redriven, ...(await peer.drain(DEAD))])).toEqual(new Set(ids(0, 3_000)))
      }
      expect(wasCut).toBeGreaterThan(2)
      await proxy.close()
    })

    it('publishes no message of a window when the broker does not respond before the commit', async () => {
      const proxy = await startTcpProxy(underTest.server)
      const silent = { ...config, servers: [onLoopback(proxy.port)], confirmTimeoutMs: 4_000 }
      await peer.deadLetter(551)
      // Only redriven messages contain this text. The broker receives them, but the proxy holds its response.
      const held = proxy.holdAnswerTo('of the sender', 5)
      const outcome = await deadLetterDesk(silent, quietService).redrive(QUEUE, ALL)
      expect(outcome).toMatchObject({ stopped: { trouble: 'unconfirmed' }, maybeSent: 0, left: 551 - outcome.done })
      expect(outcome.done).toBeGreaterThan(0)
      held.release()
      await proxy.close()
      expect(await browsedIds()).toEqual(ids(outcome.done, 551))
      expect(await peer.drain(QUEUE)).toEqual(ids(0, outcome.done))
    })

    it('redrives copies with the same id and number of redrives only once, and treats messages without an id as different', async () => {
      const put = (content: string, properties: object) =>
        peer.channel.sendToQueue(DEAD, Buffer.from(content), properties)
      for (let copy = 0; copy < 2; copy += 1) put('{}', { messageId: 'twice', headers: { 'x-redrives': 1 } })
      put('{}', { messageId: 'twice', headers: { 'x-redrives': 2 } })
      for (let sent = 0; sent < 2; sent += 1) put('{"count":-1}', {})
      await peer.channel.waitForConfirms()
      expect(await desk.redrive(QUEUE, ALL)).toMatchObject({ total: 5, done: 5, left: 0 })
      const redriven = await peer.peek(QUEUE, 4)
      expect(redriven.map(({ properties }) => properties.headers?.['x-redrives'])).toEqual([1, 2, undefined, undefined])
    })

    it('removes the confirmed messages and keeps the others in order when it is interrupted', async () => {
      await peer.deadLetter(5_000)
      const stop = new AbortController()
      const outcome = await desk.redrive(QUEUE, ALL, {
        signal: stop.signal,
        progress: ({ done }) => void (done >= 1_000 && stop.abort()),
      })
      expect(outcome).toMatchObject({ stopped: 'interrupted', total: 5_000, left: 5_000 - outcome.done })
      expect(outcome.done).toBeLessThan(5_000)
      expect(await browsedIds()).toEqual(ids(outcome.done, 5_000))
      expect(await peer.drain(QUEUE)).toEqual(ids(0, outcome.done))
    })
  })

  describe('discarding', () => {
    it('removes the selected messages and no others', async () => {
      await peer.deadLetter(100, 0, (number) => (number < 60 ? 'invalid' : 'too-large'))
      const outcome = await desk.discard(QUEUE, { by: 'reason', reason: 'too-large' })
      expect(outcome).toMatchObject({ done: 40, left: 60 })
      expect(await browsedIds()).toEqual(ids(0, 60))
      expect(await peer.depth(QUEUE)).toBe(0)
    })

    it('does not report a message as removed if it may still be in the queue', async () => {
      const proxy = await startTcpProxy(underTest.server)
      const cutOff = deadLetterDesk({ ...config, servers: [onLoopback(proxy.port)] }, quietService)
      await peer.deadLetter(2_000)
      // No data arrives from now on, so the acks of one window are lost.
      const outcome = await cutOff.discard(QUEUE, ALL, {
        progress: ({ done }) => {
          if (done <= 500) return
          proxy.weather({ kind: 'black hole', towards: 'both' })
          setTimeout(() => proxy.cut(), 50)
        },
      })
      proxy.weather(undefined)
      expect(outcome).toMatchObject({ stopped: { trouble: 'disconnected' } })
      await eventually(async () => expect(await peer.depth(DEAD)).toBe(outcome.left))
      await proxy.close()
    })
  })
})

/** Reads the remaining messages and returns their ids. */
async function allOf(reader: DeadLetterReader): Promise<string[]> {
  const seen: string[] = []
  for (;;) {
    const window = await reader.window()
    if (window.length === 0) return seen
    seen.push(...window.map(({ properties }) => String(properties.messageId)))
  }
}

/** A header value that amqplib decodes as a typed value of an unknown type. */
const typed = (mark: string) => ({ [mark]: 'object', value: { [mark]: 'no-such-type' } })
