// Compares the outcomes that a redrive reports with the actual outcomes.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, startTcpProxy, type TcpProxy } from 'testkit'
import { type Broker, openBroker } from '../src/broker.ts'
import { consumerEnvironment } from '../src/config.ts'
import { createItem } from '../src/contracts.ts'
import { type Choice, deadLetterDesk } from '../src/dead-letters/desk.ts'
import { quietService } from '../src/testing.ts'
import { connectPeer, DEAD, type Peer, QUEUE } from './dead-letters.ts'
import { onLoopback, rabbitmqOfFile } from './rabbitmq.ts'

const ALL: Choice = { by: 'all' }
const item = { name: 'n', label: 'l', price: 1, quantity: 1 }
/** As long as the timeout of a test: a test that waits for it fails. */
const LONG_MS = 600_000

const underTest = rabbitmqOfFile('redrive_outcomes')

describe('the outcomes of a redrive', () => {
  let peer: Peer
  let proxy: TcpProxy
  let consumer: Broker
  const applied = new Set<string>()

  beforeEach(async () => {
    peer = underTest.own(await connectPeer(underTest.url))
    await peer.empty()
    proxy = underTest.own(await startTcpProxy(underTest.server))
    consumer = underTest.own(await openBroker(underTest.config, quietService))
    applied.clear()
  })

  /** Consumes items. Waits for `until`, then applies them, but refuses those whose sku starts with `taken`. */
  const consume = (until: () => Promise<void> = async () => {}) =>
    consumer.consume(
      createItem,
      async (deliveries) => {
        await until()
        return deliveries.map(({ body: { sku } }) => {
          if (sku.startsWith('taken')) return { kind: 'refused', reason: 'duplicate-sku', error: `${sku} is taken` }
          applied.add(sku)
          return { kind: 'applied', result: { outcome: 'created' }, repeated: false }
        })
      },
      consumerEnvironment.parse({}),
    )
  const deadLetter = async (skus: readonly string[]) => {
    for (const sku of skus)
      peer.channel.sendToQueue(DEAD, Buffer.from(JSON.stringify({ ...item, sku })), {
        persistent: true,
        messageId: `m-${sku}`,
        headers: { 'x-reason': 'duplicate-sku', 'x-redrives': 1 },
      })
    await peer.channel.waitForConfirms()
  }
  const redrive = async (withinMs = LONG_MS, signal = new AbortController().signal) => {
    const config = { ...underTest.config, servers: [onLoopback(proxy.port)] }
    return await deadLetterDesk(config, quietService).redrive(QUEUE, ALL, { outcomes: { withinMs, signal } })
  }

  it('count each message once, as applied or as dead-lettered again with its reason', async () => {
    await deadLetter(['a', 'b', 'taken-1', 'c', 'taken-2', 'c'])
    peer.channel.sendToQueue(DEAD, Buffer.from('{"sku":'), { persistent: true, messageId: 'bad' })
    await peer.channel.waitForConfirms()
    await consume()
    const { done, outcomes } = await redrive()
    expect(done).toBe(7)
    const reported = await outcomes
    // The dead letters are stored before they are reported. The two `c` have the same id, so they count once.
    const reasons: unknown[] = []
    for (let message = await peer.channel.get(DEAD, { noAck: true }); message; ) {
      reasons.push(message.properties.headers?.['x-reason'])
      message = await peer.channel.get(DEAD, { noAck: true })
    }
    expect(reasons.sort()).toEqual(['duplicate-sku', 'duplicate-sku', 'not-json'])
    expect(reported).toEqual({
      applied: 3,
      refused: new Map([
        ['duplicate-sku', 2],
        ['not-json', 1],
      ]),
      unknown: 0,
    })
    expect(applied).toEqual(new Set(['a', 'b', 'c']))
  })

  // Python programs send no ids. Such a message is applied under the id of its dead letter.
  it('are those of different messages, if equal messages without an id were refused together', async () => {
    const messageIds = new Set<string | undefined>()
    await consumer.consume(
      createItem,
      async (deliveries) =>
        deliveries.map(({ messageId }) => {
          if (messageId === undefined) return { kind: 'refused', reason: 'no-message-id', error: 'no id' }
          const repeated = messageIds.has(messageId)
          messageIds.add(messageId)
          return { kind: 'applied', result: { outcome: 'created' }, repeated }
        }),
      consumerEnvironment.parse({}),
    )
    const body = Buffer.from(JSON.stringify({ ...item, sku: 'a' }))
    for (let sent = 0; sent < 10; sent += 1) peer.channel.sendToQueue(QUEUE, body, { persistent: true })
    await eventually(async () => expect(await peer.depth(DEAD)).toBe(10))
    const { outcomes } = await redrive()
    expect(await outcomes).toEqual({ applied: 10, refused: new Map(), unknown: 0 })
    expect(messageIds.size).toBe(10)
  })

  it('are those of different messages, if their ids cannot be sent again and look the same', async () => {
    for (const sku of ['a', 'a'])
      peer.channel.sendToQueue(DEAD, Buffer.from(JSON.stringify({ ...item, sku })), {
        persistent: true,
        // What amqplib reads from `ä` and from `ö` in Latin-1.
        messageId: 'order \ufffd',
        headers: { 'x-reason': 'invalid', 'x-letter-id': String(Math.random()), 'x-redrives': 1 },
      })
    await peer.channel.waitForConfirms()
    const { done } = await redrive(50)
    expect([done, await peer.depth(QUEUE), await peer.depth(DEAD)]).toEqual([2, 2, 0])
  })

  it('are unknown for messages that no consumer takes within the time limit', async () => {
    await deadLetter(['a', 'b'])
    const { done, outcomes } = await redrive(50)
    expect([done, await outcomes]).toEqual([2, { applied: 0, refused: new Map(), unknown: 2 }])
    expect(await peer.depth(QUEUE)).toBe(2)
  })

  it('do not block other operations on the dead letters while they are pending', async () => {
    await deadLetter(['a'])
    const decide = Promise.withResolvers<void>()
    await consume(() => decide.promise)
    const { outcomes } = await redrive()
    expect(await deadLetterDesk(underTest.config, quietService).discard(QUEUE, ALL)).toMatchObject({ total: 0 })
    decide.resolve()
    expect(await outcomes).toEqual({ applied: 1, refused: new Map(), unknown: 0 })
  })

  it('are unknown when the wait for them is aborted, and the messages are still applied or dead-lettered later', async () => {
    await deadLetter(['taken-1', 'a', 'taken-2'])
    const aborting = new AbortController()
    const { outcomes } = await redrive(LONG_MS, aborting.signal)
    aborting.abort()
    expect(await outcomes).toEqual({ applied: 0, refused: new Map(), unknown: 3 })
    await consume()
    await eventually(async () => {
      expect([await peer.depth(DEAD), await peer.depth(QUEUE)]).toEqual([2, 0])
      expect(applied).toEqual(new Set(['a']))
    })
  })

  it('are unknown for pending messages when the connection is cut, and never count more messages than were applied or dead-lettered', async () => {
    let decided = Promise.resolve()
    await consume(() => decided)
    const lastRound = 7
    for (let round = 0; round <= lastRound; round += 1) {
      await eventually(async () => expect(await peer.depth(QUEUE)).toBe(0))
      await peer.drain(DEAD)
      applied.clear()
      await deadLetter(Array.from({ length: 1_500 }, (_, n) => (n % 3 === 0 ? `taken-${round}-${n}` : `${round}-${n}`)))
      // The last round does not depend on timing: the consumer decides only after the cut.
      const decide = Promise.withResolvers<void>()
      if (round === lastRound) decided = decide.promise
      const cutting = round < lastRound ? setTimeout(() => proxy.cut(), 150 + round * 60) : undefined
      const result = await redrive().catch(() => undefined)
      if (round === lastRound) proxy.cut()
      const reported = await result?.outcomes
      decide.resolve()
      clearTimeout(cutting)
      if (round === lastRound) expect(reported?.unknown).toBe(1_500)
      if (result === undefined || reported === undefined) continue
      const refused = [...reported.refused.values()].reduce((sum, each) => sum + each, 0)
      expect(reported.applied + refused + reported.unknown).toBe(result.done)
      expect(reported.applied).toBeLessThanOrEqual(applied.size)
      await eventually(async () => expect(await peer.depth(DEAD)).toBeGreaterThanOrEqual(refused))
      if (reported.unknown === 0) expect(result.done === 1_500 || result.stopped !== undefined).toBe(true)
    }
  })

  // The reply to a query may be a whole list.
  it('are not requested for a dead-lettered query', async () => {
    for (const queue of ['order_processing', 'order_processing.dead-letter'])
      await peer.channel.assertQueue(queue, { durable: true })
    peer.channel.sendToQueue('order_processing.dead-letter', Buffer.from('[]'), { messageId: 'q' })
    await peer.channel.waitForConfirms()
    const desk = deadLetterDesk(underTest.config, quietService)
    const outcomes = { withinMs: LONG_MS, signal: new AbortController().signal }
    const result = await desk.redrive('order_processing', ALL, { outcomes })
    expect(result).toMatchObject({ done: 1 })
    expect(result.outcomes).toBeUndefined()
    const [query] = await peer.peek('order_processing', 1)
    expect(query?.properties.replyTo).toBeUndefined()
  })
})
