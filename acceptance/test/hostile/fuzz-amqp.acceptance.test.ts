// Publishes thousands of messages with generated bodies and properties, mixed with good ones. Each bad message is
// dead-lettered, each good one is applied, and no consumer exits.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { eventually, fuzzParameters } from 'testkit'
import { anyCharacter } from 'testkit/any-character'
import { double, field, openRawPublisher, type RawProperties, sized, uint64 } from '../../../messaging/test/raw-amqp.ts'
import { type Stack, startStack } from '../stack.ts'

const CONSUMERS = {
  healthcheck: 'consumer_one',
  create_item: 'consumer_two',
  stock_management: 'consumer_three',
  order_processing: 'consumer_four',
} as const
type Queue = keyof typeof CONSUMERS
const QUEUES = [
  'healthcheck',
  'create_item',
  'stock_management',
  'order_processing',
] as const satisfies readonly Queue[]
/** The number of bad messages for each good one. */
const CANARY_EVERY = 10
const { numRuns, seed } = fuzzParameters(2_000)

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const canary = (n: number) => ({ sku: `canary-${n}`, name: 'n', label: 'l', price: 1, quantity: 1 })

/** Text in UTF-8, or bytes that are not UTF-8. */
const shortBytes = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 60 }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 255 }).map((bytes) => Buffer.from(bytes)),
)
const fieldName = fc.oneof(
  shortBytes,
  fc.constantFrom('x-reason', 'x-error', 'x-sku', '!', '__proto__', 'x-attempts').map((name) => Buffer.from(name)),
)
const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
const { tagged } = fc.letrec<{ tagged: { tag: string; value: Buffer } }>((tie) => ({
  tagged: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((bytes) => ({ tag: 'S', value: sized(Buffer.from(bytes)) })),
      fc.uint8Array({ maxLength: 80 }).map((bytes) => ({ tag: 'x', value: sized(Buffer.from(bytes)) })),
      finite.map((value) => ({ tag: 'd', value: double(value) })),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ tag: 'l', value: uint64(value) })),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ tag: 'T', value: uint64(value) })),
      fc.constantFrom(
        { tag: 'V', value: Buffer.alloc(0) },
        { tag: 't', value: Buffer.from([1]) },
        { tag: 'b', value: Buffer.from([200]) },
        { tag: 'D', value: Buffer.from([2, 0, 0, 1, 0]) },
      ),
    ),
    fc.array(tie('tagged'), { maxLength: 3 }).map((values) => ({
      tag: 'A',
      value: sized(Buffer.concat(values.map(({ tag, value }) => Buffer.concat([Buffer.from(tag), value])))),
    })),
    fc.array(fc.tuple(fieldName, tie('tagged')), { maxLength: 3 }).map((fields) => ({
      tag: 'F',
      value: sized(Buffer.concat(fields.map(([name, { tag, value }]) => field(name, tag, value)))),
    })),
  ),
}))
const headers = fc
  .array(fc.tuple(fieldName, tagged), { maxLength: 4 })
  .map((fields) => Buffer.concat(fields.map(([name, { tag, value }]) => field(name, tag, value))))
const properties: fc.Arbitrary<RawProperties> = fc
  .record(
    {
      contentType: shortBytes,
      contentEncoding: shortBytes,
      headers,
      deliveryMode: fc.constantFrom(1, 2),
      priority: fc.integer({ min: 0, max: 255 }),
      correlationId: shortBytes,
      messageId: shortBytes,
      timestamp: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      type: shortBytes,
      appId: shortBytes,
    },
    { requiredKeys: [] },
  )
  .map((given) => given)

/** Bodies that no queue accepts. */
const broken = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([Buffer.from([0xff]), Buffer.from(bytes)])),
  fc.json({ maxDepth: 4 }).map((text) => Buffer.from(`${text} ]`)),
  fc.json({ maxDepth: 3 }).map((text) => Buffer.from(`{"a":${text},"a":1}`)),
  fc.json({ maxDepth: 3 }).map((text) => Buffer.from(`[{"__proto__":${text}}]`)),
  fc.integer({ min: 65, max: 5_000 }).map((depth) => Buffer.from('['.repeat(depth) + ']'.repeat(depth))),
  fc.constant(Buffer.alloc(0)),
)
const never = (...values: unknown[]) => fc.constantFrom<unknown>(undefined, null, true, [], {}, ...values)
const tooLong = (max: number) => fc.integer({ min: max + 1, max: 300 }).map((length) => 'x'.repeat(length))
/** An item with one invalid member. */
const badItem = fc
  .oneof(
    fc.tuple(fc.constant('sku'), fc.oneof(never(0, 1.5, '', ' a', 'a\n'), tooLong(20))),
    fc.tuple(fc.constant('name'), fc.oneof(never(0, '', 'a\u0000', '\ud800'), tooLong(100))),
    fc.tuple(fc.constant('label'), fc.oneof(never(0, '', '\udc00b'), tooLong(50))),
    fc.tuple(
      fc.constant('price'),
      fc.oneof(
        never('x', '', '0x10', '1_000', '-1', -1, 1e308, -0.00001, 99_999_999_999.99995),
        fc.double({ max: -1, noNaN: true, noDefaultInfinity: true }),
      ),
    ),
    fc.tuple(
      fc.constant('quantity'),
      fc.oneof(
        never('x', '', '0.5', '2147483648', -1, 0.5, 2 ** 31),
        fc.integer({ min: 2 ** 31, max: Number.MAX_SAFE_INTEGER }),
      ),
    ),
  )
  .map(([name, value]) => json({ ...canary(0), [name]: value }))
const badSku = fc
  .oneof(fc.constantFrom<unknown>(undefined, true, [], {}, 0, 1, '\ud800'), tooLong(20))
  .map((sku) => json({ sku }))
const noObject = fc
  .oneof(fc.string(), fc.integer(), fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }))
  .map(json)
const notForReplies = fc.constantFrom(
  'create_item',
  'stock_management',
  'healthcheck.dead-letter',
  'nowhere',
  'amq.direct',
)

interface Bad {
  readonly queue: Queue
  readonly body: Buffer
  readonly properties: RawProperties
}
const on = (queue: Queue, body: fc.Arbitrary<Buffer>): fc.Arbitrary<Bad> =>
  fc.record({ queue: fc.constant(queue), body, properties })
const bad: fc.Arbitrary<Bad> = fc.oneof(
  fc.constantFrom(...QUEUES).chain((queue) => on(queue, broken)),
  on('create_item', fc.oneof(badItem, noObject)),
  on('stock_management', fc.oneof(badSku, noObject)),
  fc.record({
    queue: fc.constant('order_processing' as const),
    body: fc.jsonValue({ maxDepth: 2 }).map((value) => json([value])),
    properties: notForReplies.map((address) => ({ replyTo: Buffer.from(address) })),
  }),
  fc.record({
    queue: fc.constant('order_processing' as const),
    body: fc.constant(json([])),
    properties: fc.constantFrom('x-limit', 'x-after').map((name) => ({ headers: field(name, 'S', sized('5')) })),
  }),
)

describe('the suite with generated messages', () => {
  let stack: Stack
  let raw: Awaited<ReturnType<typeof openRawPublisher>>
  beforeAll(async () => {
    stack = await startStack('fuzz_amqp')
    const { username, password, host, port, vhost } = stack.space.rabbitmq
    raw = await openRawPublisher(`amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`)
  })
  afterAll(async () => await stack.stop())

  it(`dead-letters each of ${numRuns} bad messages, applies each good one, and continues (seed ${seed})`, async () => {
    const sent: Record<Queue, number> = { healthcheck: 0, create_item: 0, stock_management: 0, order_processing: 0 }
    const messages = fc.sample(bad, { numRuns, seed })
    for (const [n, { queue, body, properties }] of messages.entries()) {
      await raw.publish(queue, body, properties)
      sent[queue] += 1
      if (n % CANARY_EVERY === 0) await raw.publish('create_item', json(canary(n)))
    }
    // Rejects if the broker did not accept a message.
    await raw.close()
    const canaries = messages.flatMap((_, n) => (n % CANARY_EVERY === 0 ? [canary(n).sku] : []))
    await eventually(
      async () => {
        const letters = await Promise.all(QUEUES.map((queue) => stack.depth(`${queue}.dead-letter`)))
        expect(Object.fromEntries(QUEUES.map((queue, at) => [queue, letters[at]]))).toEqual(sent)
      },
      120_000 + numRuns * 20,
    )
    await eventually(async () => expect(await stack.skus()).toEqual(canaries))
  }, 1_800_000)

  it('keeps every consumer ready and connected, with an empty queue and no unacknowledged message', async () => {
    await stack.ready()
    for (const queue of QUEUES) {
      const service = stack.service(CONSUMERS[queue])
      const troubles = service.log.filter(({ level, message }) => level === 'error' || /lost/.test(String(message)))
      expect([queue, troubles]).toEqual([queue, []])
      service.kill('SIGTERM')
      expect([queue, await service.exited]).toEqual([queue, 0])
      // After the consumer has exited, the broker has requeued any unacknowledged message.
      expect([queue, await stack.depth(queue)]).toEqual([queue, 0])
    }
  })
})
