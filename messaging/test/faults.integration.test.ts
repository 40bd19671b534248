// Messaging on RabbitMQ when the network, the broker or a queue fails, and when a consumer closes.
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, connect } from 'amqplib'
import { eventually, startTcpProxy, type TcpProxy } from 'testkit'
import { z } from 'zod'
import { type Broker, openBroker, waitForConsumers } from '../src/broker.ts'
import { consumerEnvironment, type RabbitmqConfig } from '../src/config.ts'
import { command, deadLetterQueue, query } from '../src/contract.ts'
import { Misconfigured, NotAccepted, OutcomeUnknown } from '../src/errors.ts'
import type { Delivery, Outcome } from '../src/handler.ts'
import type { Service } from '../src/service.ts'
import { quietService } from '../src/testing.ts'
import { countingService } from './counting-service.ts'
import { startFrameProxy } from './frame-proxy.ts'
import { onLoopback, rabbitmqOfFile } from './rabbitmq.ts'

type Numbered = { n: number }
const applied: Outcome<string> = { kind: 'applied', result: 'done', repeated: false }
const config = consumerEnvironment.parse({
  CONSUMER_BATCH_MOST: '50',
  CONSUMER_PREFETCH: '200',
  CONSUMER_RETRY_MOST_MS: '50',
})

/** With a shorter heartbeat, a busy machine is too slow and loses the connection. */
const HEARTBEAT_S = 3

/** The metric label for commands whose result has no `outcome`. */
const APPLIED = { outcome: 'applied' }

/** The frames connection.blocked and connection.unblocked (https://www.rabbitmq.com/docs/connection-blocked). */
const BLOCKED = Buffer.from([1, 0, 0, 0, 0, 0, 11, 0, 10, 0, 60, 6, ...Buffer.from('memory'), 0xce])
const UNBLOCKED = Buffer.from([1, 0, 0, 0, 0, 0, 4, 0, 10, 0, 61, 0xce])

const underTest = rabbitmqOfFile('faults_of_messaging')

describe('messaging under faults', () => {
  let rabbitmq: RabbitmqConfig
  let proxy: TcpProxy
  let channel: Channel
  let queueNumber = 0
  let numbers = command('unset', { body: z.object({ n: z.number() }), result: z.string() })

  beforeEach(async () => {
    proxy = underTest.own(await startTcpProxy(underTest.server))
    rabbitmq = {
      ...underTest.config,
      servers: [onLoopback(proxy.port)],
      reconnectMaxMs: 200,
      connectTimeoutMs: 1_000,
      // On a busy disk, a confirm can take longer than a second.
      confirmTimeoutMs: 10_000,
    }
    const model = underTest.own(await connect(underTest.url))
    model.on('error', () => {})
    channel = await model.createChannel()
    channel.on('error', () => {})
    queueNumber += 1
    numbers = command(`faults_${process.pid}_${Date.now()}_${queueNumber}`, numbers)
  })
  afterEach(() => {
    proxy.cutAfterBytes(undefined)
    proxy.weather(undefined)
  })

  const start = async (
    changes: Partial<RabbitmqConfig> = {},
    publishes = [numbers],
    service: Service = quietService,
  ): Promise<Broker> => underTest.own(await openBroker({ ...rabbitmq, ...changes }, service, { publishes }))
  const noting = (seen: Map<number, number>) => async (deliveries: readonly Delivery<Numbered>[]) => {
    for (const { body } of deliveries) seen.set(body.n, (seen.get(body.n) ?? 0) + 1)
    return deliveries.map(() => applied)
  }

  it('becomes ready although its connections are cut during their set-up', async () => {
    // Each connection is cut when the broker has sent this many bytes on it. The values cover the whole set-up.
    for (const bytes of [1, 100, 400, 480, 500, 520, 530, 540, 560, 580, 620, 700]) {
      proxy.cutAfterBytes(bytes)
      const opening = start()
      const before = proxy.accepted
      await eventually(() => expect(proxy.accepted).toBeGreaterThan(before))
      await new Promise((resolve) => setTimeout(resolve, 100))
      proxy.cutAfterBytes(undefined)
      const broker = await opening
      await eventually(async () =>
        expect((await broker.publisher.publish(numbers, { n: bytes })).messageId).toBeTruthy(),
      )
    }
  })

  it.each(['sends nothing', 'sends one byte at a time'])(
    'gives up a connection to a server that %s, and logs the timeout',
    async (behavior) => {
      const logged: string[] = []
      const silent = createServer((socket) => {
        // The client reads these bytes as the header of a large frame, which never ends.
        const sending = setInterval(() => behavior !== 'sends nothing' && socket.write(Buffer.from([1])), 50)
        // A server that does not read would not notice that the client closes the connection.
        socket
          .resume()
          .on('error', () => {})
          .on('close', () => clearInterval(sending))
      })
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
      const address = silent.address()
      if (address === null || typeof address === 'string') throw new Error('no port')
      const stop = new AbortController()
      const log = { ...quietService.log, warn: (_: object, message: string) => logged.push(message) }
      const opening = start({ servers: [onLoopback(address.port)], connectTimeoutMs: 200 }, [], {
        ...quietService,
        log,
        stopping: stop.signal,
      })
      const ended = expect(opening).rejects.toThrow('stopped')
      await eventually(() =>
        expect(logged.filter((line) => line.includes('opening took longer than 200 ms')).length).toBeGreaterThan(1),
      )
      stop.abort()
      await ended
      silent.close()
    },
  )

  it('loses no confirmed message when connections are cut during a burst, and settles every publish', async () => {
    const producer = await start()
    const seen = new Map<number, number>()
    const consumer = await start()
    await consumer.consume(numbers, noting(seen), config)
    const confirmed: number[] = []
    let refused = 0
    let unknown = 0
    let cutting = true
    const cuts = (async () => {
      for (let cut = 0; cut < 8; cut += 1) {
        await new Promise((resolve) => setTimeout(resolve, 150))
        proxy.cut()
      }
      cutting = false
    })()
    let n = 0
    while (cutting) {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          n += 1
          const own = n
          try {
            await producer.publisher.publish(numbers, { n: own })
            confirmed.push(own)
          } catch (error) {
            if (error instanceof OutcomeUnknown) unknown += 1
            else if (error instanceof NotAccepted) refused += 1
            else throw error
          }
        }),
      )
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await cuts
    expect(confirmed.length).toBeGreaterThan(0)
    expect(unknown + refused).toBeGreaterThan(0)
    await eventually(() => expect(confirmed.filter((each) => !seen.has(each))).toEqual([]))
  })

  it('drops a stale ack, and handles the message again as a redelivery', async () => {
    const service = countingService()
    const consumer = await start({}, [numbers], service)
    const seen: boolean[] = []
    await consumer.consume(
      numbers,
      async (deliveries) => {
        seen.push(...deliveries.map(({ redelivered }) => redelivered))
        if (seen.length === 1) {
          proxy.cut()
          await new Promise((resolve) => setTimeout(resolve, 500))
        }
        return deliveries.map(() => applied)
      },
      config,
    )
    channel.sendToQueue(numbers.queue, Buffer.from('{"n":1}'), { persistent: true })
    await eventually(() => expect(seen).toEqual([false, true]))
    await eventually(() => expect(service.value('stale_acks_dropped', { queue: numbers.queue })).toBe(1))
    await eventually(async () => expect((await channel.checkQueue(numbers.queue)).messageCount).toBe(0))
  })

  it('reports the outcome as unknown when no data reaches the broker, and recovers afterwards', async () => {
    const producer = await start({ heartbeatS: 1, confirmTimeoutMs: 1_000 })
    proxy.weather({ kind: 'black hole', towards: 'both' })
    await expect(producer.publisher.publish(numbers, { n: 1 })).rejects.toThrow(OutcomeUnknown)
    await eventually(() => expect(producer.notReady()).toMatch(/is not open/))
    await expect(producer.publisher.publish(numbers, { n: 2 })).rejects.toMatchObject({ reason: 'disconnected' })
    proxy.cut()
    proxy.weather(undefined)
    await eventually(() => expect(producer.notReady()).toBeUndefined())
    await producer.publisher.publish(numbers, { n: 3 })
  })

  it('counts unconfirmed messages against its limit until the stall timeout drops the connection', async () => {
    const service = countingService()
    const config = { confirmTimeoutMs: 200, stallTimeoutMs: 3_000, heartbeatS: 60, unconfirmedMaxBytes: 20 }
    const producer = await start(config, [numbers], service)
    proxy.weather({ kind: 'black hole', towards: 'server' })
    await expect(producer.publisher.publish(numbers, { n: 1_000_000 })).rejects.toThrow(OutcomeUnknown)
    const counted = () => service.value('messages_unconfirmed', { connection: 'publishing' })
    expect(counted()).toBe(1)
    expect(producer.notReady()).toMatch(/^the broker has confirmed nothing for \d+ s: 1 messages wait$/)
    await expect(producer.publisher.publish(numbers, { n: 1_000_001 })).rejects.toMatchObject({ reason: 'over-limit' })
    await eventually(() => expect(counted()).toBe(0))
    proxy.weather(undefined)
    await eventually(() => expect(producer.notReady()).toBeUndefined())
    await producer.publisher.publish(numbers, { n: 3 })
  })

  it('does not treat a broker alarm as a stall, and allows time for confirms after it', async () => {
    const frames = await startFrameProxy(underTest.server)
    const servers = [frames.server]
    const service = countingService()
    const producer = await start({ servers, confirmTimeoutMs: 100, stallTimeoutMs: 2_000 }, [numbers], service)
    const counted = () => service.value('messages_unconfirmed', { connection: 'publishing' })
    frames.change(({ bytes, method }) => (method === '60.80' ? Buffer.alloc(0) : bytes))
    await expect(producer.publisher.publish(numbers, { n: 1 })).rejects.toThrow(OutcomeUnknown)
    frames.send(BLOCKED)
    await new Promise((resolve) => setTimeout(resolve, 5_800)) // shortly before the third check for a stall
    expect(producer.notReady()).toMatch(/blocks publishing: memory/)
    frames.send(UNBLOCKED)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(counted()).toBe(1)
    await eventually(() => expect(counted()).toBe(0))
    frames.close()
  })

  it('logs one line while an alarm blocks the dead-lettering of messages, and one line when it ends', async () => {
    const frames = await startFrameProxy(underTest.server)
    const lines: { level: string; message: string; fields: object }[] = []
    const to = (level: string) => (fields: object, message: string) => void lines.push({ level, message, fields })
    const log = { debug() {}, info: to('info'), warn: to('warn'), error: to('error') }
    const service = { ...countingService(), log }
    const consumer = await start({ servers: [frames.server] }, [], service)
    await consumer.consume(numbers, noting(new Map()), config)
    frames.send(BLOCKED)
    const { queue } = numbers
    for (let n = 0; n < 2_000; n += 1) channel.sendToQueue(queue, Buffer.from('{}'), { messageId: `bad-${n}` })
    const { prefetch } = config
    await eventually(() => expect(service.value('messages_held', { queue })).toBe(prefetch))
    // Each message of the batch is retried every 50 ms.
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const blocked = `cannot dead-letter a message of ${queue}: the broker blocks publishing: memory`
    expect(consumer.notReady()).toContain('memory')
    const about = (level: string) => lines.filter((line) => line.level === level)
    expect(about('error')).toEqual([
      { level: 'error', message: blocked, fields: { queue, reason: 'blocked', messages: 1, messageId: 'bad-0' } },
    ])
    frames.send(UNBLOCKED)
    const letters = async () => (await channel.checkQueue(deadLetterQueue(queue))).messageCount
    await eventually(async () => expect(await letters()).toBe(2_000))
    await eventually(() => expect(service.value('messages_held', { queue })).toBe(0))
    const over = new RegExp(`^no message of ${queue} waits to be dead-lettered any more, after `)
    await eventually(() =>
      expect(about('info').filter(({ message }) => over.test(message))).toMatchObject([
        // The number depends on how many messages had arrived when the first batch started.
        { fields: { messages: expect.any(Number) } },
      ]),
    )
    // There is one line for each batch and reason. It is logged once the last message of the batch is dead-lettered.
    const refused = () => about('warn').filter(({ message }) => / messages? refused and dead-lettered$/.test(message))
    await eventually(() => {
      const counts = refused().map(({ fields }) => ('messages' in fields ? Number(fields.messages) : 0))
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2_000)
    })
    expect(refused().length).toBeLessThan(2_000 / 2)
    frames.close()
  })

  /** Opens a consumer with more bytes in its queue than its in-flight limit allows. Its handler waits until `go` is called. */
  const overfull = async () => {
    const service = countingService()
    const producer = await start()
    const heavy = command(`${numbers.queue}_heavy`, { body: z.object({ text: z.string() }), result: z.string() })
    await channel.assertQueue(heavy.queue, { durable: true })
    const text = 'x'.repeat(100_000)
    for (let n = 0; n < 100; n += 1) await producer.publisher.publish(heavy, { text })
    const consumer = await start({ heartbeatS: HEARTBEAT_S }, [], service)
    const { promise: held, resolve: go } = Promise.withResolvers<void>()
    await consumer.consume(
      heavy,
      async (deliveries) => {
        await held
        return deliveries.map(() => applied)
      },
      { ...config, inFlightMaxBytes: 1_000_000 },
    )
    const counted = (metric: string, labels = {}) =>
      service.value(metric, metric === 'broker_reconnects' ? labels : { queue: heavy.queue, ...labels }) ?? 0
    await eventually(() => expect(counted('messages_consumed')).toBeGreaterThan(9))
    return { go, counted, depth: async () => (await channel.checkQueue(heavy.queue)).messageCount }
  }

  it('stops reading at its in-flight limit until messages are acked, and stays connected', async () => {
    const { go, counted } = await overfull()
    await new Promise((resolve) => setTimeout(resolve, 4 * HEARTBEAT_S * 1_000))
    expect(counted('messages_consumed')).toBeLessThan(15)
    go()
    await eventually(() => expect(counted('messages_applied', APPLIED)).toBe(100))
    expect(counted('broker_reconnects', { connection: 'consuming' })).toBe(0)
  })

  it('resumes reading after its connection is lost while reading is paused', async () => {
    const { go, counted, depth } = await overfull()
    proxy.cut()
    await eventually(() => expect(counted('broker_reconnects', { connection: 'consuming' })).toBe(1))
    go()
    await eventually(() => expect(counted('messages_applied', APPLIED)).toBeGreaterThanOrEqual(100))
    await eventually(async () => expect(await depth()).toBe(0))
  })

  describe('a consumer of messages so large that few fit into its in-flight limit', () => {
    const heavy = () => command(`${numbers.queue}_heavy`, { body: z.object({ text: z.string() }), result: z.string() })
    const limited = { ...config, inFlightMaxBytes: 1_000_000 }
    const put = async (queue: string, count: number, bytes = 250_000) => {
      await channel.assertQueue(queue, { durable: true })
      const content = Buffer.from(JSON.stringify({ text: 'x'.repeat(bytes) }))
      for (let n = 0; n < count; n += 1) channel.sendToQueue(queue, content)
    }

    it('applies all messages after its database was down', async () => {
      const contract = heavy()
      const consumer = await start()
      let isDown = true
      let appliedCount = 0
      const subscription = await consumer.consume(
        contract,
        async (deliveries) => {
          if (isDown) throw Object.assign(new Error('the database is down'), { transient: true })
          await new Promise((resolve) => setTimeout(resolve, 200)) // meanwhile more messages arrive than fit
          appliedCount += deliveries.length
          return deliveries.map(() => applied)
        },
        { ...limited, holdMaxMs: 300 },
        async () => (isDown ? 'the database is down' : undefined),
      )
      await put(contract.queue, 30)
      await eventually(() => expect(subscription.notReady()).toMatch(/^not consuming/))
      isDown = false
      await eventually(() => expect(appliedCount).toBe(30))
    })

    it('does not exceed its limit on a new connection while the handler still processes messages of the lost one', async () => {
      const contract = heavy()
      const service = countingService()
      const consumer = await start({ heartbeatS: 1 }, [], service)
      const { promise: held, resolve: go } = Promise.withResolvers<void>()
      let appliedCount = 0
      const handler = async (deliveries: readonly Delivery<unknown>[]) => {
        await held
        appliedCount += deliveries.length
        return deliveries.map(() => applied)
      }
      const consumed = () => service.value('messages_consumed', { queue: contract.queue }) ?? 0
      await consumer.consume(contract, handler, limited)
      await put(contract.queue, 1, 900_000)
      await eventually(() => expect(consumed()).toBe(1))
      await put(contract.queue, 100)
      await eventually(() => expect(consumed()).toBeGreaterThan(1))
      const before = consumed()
      proxy.cut()
      await eventually(() => expect(consumed()).toBeGreaterThan(before))
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      expect(consumed()).toBeLessThan(before + 10)
      go()
      await eventually(() => expect(appliedCount).toBeGreaterThanOrEqual(100))
    })
  })

  it('refuses to publish beyond its limits instead of buffering', async () => {
    const producer = await start({ unconfirmedMax: 10 })
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, n) => producer.publisher.publish(numbers, { n })),
    )
    const refused = results.filter((each) => each.status === 'rejected')
    expect(refused).toHaveLength(40)
    for (const { reason } of refused) expect(reason).toMatchObject({ name: 'NotAccepted', reason: 'over-limit' })
    const small = await start({ unconfirmedMaxBytes: 10 })
    const alone = small.publisher.publish(numbers, { n: 1_000_000 })
    await expect(small.publisher.publish(numbers, { n: 1_000_000 })).rejects.toMatchObject({ reason: 'over-limit' })
    await alone // If no other message is unconfirmed, one of any size is accepted. Otherwise a large one could never be dead-lettered.
  })

  it('subscribes and publishes again after its queue was deleted', async () => {
    const producer = await start()
    const consumer = await start()
    const seen = new Map<number, number>()
    await consumer.consume(numbers, noting(seen), config)
    await channel.deleteQueue(numbers.queue)
    await eventually(async () => {
      await producer.publisher.publish(numbers, { n: 1 })
    })
    await eventually(() => expect(seen.get(1)).toBe(1))
  })

  it('declares a deleted queue again although it has no consumer', async () => {
    const producer = await start()
    await channel.deleteQueue(numbers.queue)
    await expect(producer.publisher.publish(numbers, { n: 1 })).rejects.toMatchObject({ reason: 'unroutable' })
    await eventually(async () => {
      await producer.publisher.publish(numbers, { n: 2 })
    })
  })

  it('reports which property differs when the queue exists with other properties (406)', async () => {
    await channel.assertQueue(numbers.queue, { durable: true, maxLength: 5 })
    const opening = start()
    await expect(opening).rejects.toThrow(Misconfigured)
    await expect(opening).rejects.toThrow(/inequivalent arg 'x-max-length'/)
    const used = await start({ topology: 'none' })
    await used.publisher.publish(numbers, { n: 1 })
  })

  it('does not report that a queue exists which it may not check', async () => {
    const logged: string[] = []
    const write = (_: object, message: string) => void logged.push(message)
    const used = await start({ topology: 'none' }, [numbers], {
      ...quietService,
      log: { ...quietService.log, info: write, error: write },
    })
    for (let n = 0; n < 2; n += 1)
      await expect(used.publisher.publish(numbers, { n })).rejects.toMatchObject({ reason: 'unroutable' })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(logged.filter((message) => message.includes(numbers.queue))).toEqual([])
  })

  it('waits until its queues exist when it may only check them', async () => {
    const opening = start({ topology: 'check' })
    let opened = false
    opening.then(() => {
      opened = true
    })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(opened).toBe(false)
    await channel.assertQueue(numbers.queue, { durable: true })
    await (await opening).publisher.publish(numbers, { n: 1 })
  })

  it('waits until its queue has a consumer, and logs the name of the queue', async () => {
    const logged: string[] = []
    const log = { ...quietService.log, info: (_: object, message: string) => logged.push(message) }
    const producer = await start()
    const waiting = waitForConsumers(producer, [numbers], { ...quietService, log }, 20_000)
    await eventually(() => expect(logged.join()).toContain(numbers.queue))
    const consumer = await start()
    await consumer.consume(numbers, noting(new Map()), config)
    await waiting
  })

  it('stops waiting for consumers at the time limit, and logs the queue without one', async () => {
    const warned: string[] = []
    const log = { ...quietService.log, warn: (_: object, message: string) => warned.push(message) }
    await waitForConsumers(await start(), [numbers], { ...quietService, log }, 100)
    expect(warned).toEqual([`no longer waiting for a consumer of: ${numbers.queue}; messages wait on their queues`])
  })

  it('rejects a request long before its deadline when the connection is lost', async () => {
    const queries = query(`${numbers.queue}_q`, { body: z.unknown(), reply: z.array(z.number()) })
    await channel.assertQueue(queries.queue, { durable: true })
    const producer = await start()
    const since = Date.now()
    const pending = producer.requester.request(queries, [], { deadlineMs: 30_000 })
    setTimeout(() => proxy.cut(), 200)
    await expect(pending).rejects.toThrow(OutcomeUnknown)
    expect(Date.now() - since).toBeLessThan(10_000)
  })

  it('sends all replies although only two may be unconfirmed, and also dead-letters a message', async () => {
    const queries = query(`${numbers.queue}_q`, { body: z.unknown(), reply: z.string() })
    const sender = await start({}, [numbers, { ...numbers, queue: queries.queue }])
    const consumer = await start({ unconfirmedMax: 2 })
    const body = Buffer.from(JSON.stringify('x'.repeat(100_000)))
    await consumer.consume(
      queries,
      async (deliveries) => deliveries.map(() => ({ kind: 'answered', body, headers: {} })),
      config,
    )
    await consumer.consume(numbers, noting(new Map()), config)
    const replies = Array.from({ length: 50 }, () => sender.requester.request(queries, [], { deadlineMs: 60_000 }))
    channel.sendToQueue(numbers.queue, Buffer.from('not JSON'))
    expect((await Promise.allSettled(replies)).filter(({ status }) => status === 'rejected')).toEqual([])
    await eventually(async () =>
      expect((await channel.checkQueue(deadLetterQueue(numbers.queue))).messageCount).toBe(1),
    )
  })

  it.each([
    ['sends a reply once the lost connection for replies is open again', true],
    ['gives up a reply when it closes before the lost connection for replies is open again', false],
  ])('%s', async (_, opensAgain) => {
    const service = countingService()
    const consumer = await start({ confirmTimeoutMs: 1_000 }, [numbers], service)
    const subscription = await consumer.consume(numbers, async (deliveries) => deliveries.map(() => applied), config)
    const { queue: replyTo } = await channel.assertQueue('', { exclusive: true })
    const replies: string[] = []
    await channel.consume(replyTo, (message) => void replies.push(message?.properties.correlationId), { noAck: true })
    const counted = (name: string, labels = {}) => service.value(name, { queue: numbers.queue, ...labels })
    // The connections for publishing and for replies are the two oldest.
    proxy.cutAfterBytes(0)
    expect(proxy.cut(2)).toBe(2)
    await eventually(() => expect(consumer.notReady()).toBeDefined())
    channel.sendToQueue(numbers.queue, Buffer.from('{"n":1}'), { replyTo, correlationId: 'kept' })
    await eventually(() => expect(counted('messages_applied', APPLIED)).toBe(1))
    if (opensAgain) {
      proxy.cutAfterBytes(undefined)
      await eventually(() => expect(replies).toEqual(['kept']))
      expect(counted('replies_unroutable')).toBe(0)
    } else {
      // Closing must not wait for the connection, which may never open again.
      const since = Date.now()
      await subscription.close()
      expect(Date.now() - since).toBeLessThan(20_000)
      expect(counted('replies_unroutable')).toBe(1)
    }
    await eventually(async () => expect((await channel.checkQueue(numbers.queue)).messageCount).toBe(0))
  })

  it('settles the batch in flight when it closes, and requeues the other messages for the next consumer', async () => {
    const producer = await start()
    await Promise.all(Array.from({ length: 300 }, (_, n) => producer.publisher.publish(numbers, { n })))
    const seen = new Map<number, number>()
    const first = await start()
    const { promise: started, resolve: begin } = Promise.withResolvers<void>()
    const subscription = await first.consume(
      numbers,
      async (deliveries) => {
        begin()
        await new Promise((resolve) => setTimeout(resolve, 300))
        return await noting(seen)(deliveries)
      },
      config,
    )
    await started
    await subscription.close()
    const byFirst = seen.size
    expect(byFirst).toBeGreaterThan(0)
    expect(byFirst).toBeLessThanOrEqual(50)
    const second = await start()
    await second.consume(numbers, noting(seen), config)
    await eventually(() => expect(seen.size).toBe(300))
    expect([...seen.values()].every((times) => times === 1)).toBe(true)
  })

  it('dead-letters each refused message once although the broker confirms nothing for a while', async () => {
    const consumer = await start({ confirmTimeoutMs: 300 })
    let isHeld = false
    await consumer.consume(
      numbers,
      async (deliveries) => {
        // From the first batch on, the broker's responses are held for several times the confirm timeout.
        if (!isHeld) proxy.weather({ kind: 'black hole', towards: 'client' })
        isHeld = true
        return deliveries.map(() => ({ kind: 'refused', reason: 'invalid', error: 'no' }))
      },
      config,
    )
    for (let n = 0; n < 40; n += 1) channel.sendToQueue(numbers.queue, Buffer.from(`{"n":${n}}`), { persistent: true })
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    proxy.weather(undefined)
    await eventually(async () =>
      expect((await channel.checkQueue(`${numbers.queue}.dead-letter`)).messageCount).toBeGreaterThanOrEqual(40),
    )
    await consumer.close()
    // A moment after the close, the broker requeues the messages that the consumer had in flight.
    await eventually(async () => {
      const letters = await channel.checkQueue(`${numbers.queue}.dead-letter`)
      const left = await channel.checkQueue(numbers.queue)
      expect(letters.messageCount + left.messageCount).toBe(40)
    })
  })

  it('closes within 20 s while the broker does not respond', async () => {
    const consumer = await start({ confirmTimeoutMs: 1_000 })
    await consumer.consume(numbers, noting(new Map()), config)
    proxy.weather({ kind: 'black hole', towards: 'both' })
    const since = Date.now()
    await consumer.close()
    expect(Date.now() - since).toBeLessThan(20_000)
  })
})
