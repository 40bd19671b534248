// For any bytes, properties and headers, parsing a message ends in a delivery or a refusal, and its dead letter can be encoded.
import { createRequire } from 'node:module'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { fuzzParameters } from 'testkit'
import { anyCharacter } from 'testkit/any-character'
import { flattenHeaders } from '../src/connection/nested-headers.ts'
import { contracts, createItem, type Item, stockManagement } from '../src/contracts.ts'
import { deadLetter } from '../src/incoming/dead-letter.ts'
import { readMessage } from '../src/incoming/read-message.ts'
import { replyTo } from '../src/incoming/reply-envelope.ts'
import { parseJson } from '../src/json.ts'
import { received } from './received.ts'

const runs = fuzzParameters(300)

const message = (content: Buffer, properties: object = {}) => received(content, { headers: {}, ...properties })
const text = (max: number) =>
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: max }).filter((value) => {
    const count = [...value].length
    return count > 0 && count <= max && !value.includes('\u0000') && value.isWellFormed()
  })
const sku = text(20).filter((value) => value.trim() === value && !/\p{Cc}/u.test(value))
/** Any sku that the table can hold. */
const heldSku = fc.string({ unit: anyCharacter, maxLength: 20 })
const item: fc.Arbitrary<Item> = fc.record({
  sku,
  name: text(100),
  label: text(50),
  price: fc
    .integer({ min: 0, max: 999_999_999_999_999 })
    .map((tenThousandths) => Number((tenThousandths / 10_000).toFixed(4))),
  quantity: fc.integer({ min: 0, max: 2_147_483_647 }),
})

describe('reading a message with any body', () => {
  it('parses an item to the values that were written, whatever other allowed members it has', () => {
    const extra = fc.dictionary(
      fc
        .string()
        .filter(
          (name) =>
            !(name in { sku: 1, name: 1, label: 1, price: 1, quantity: 1, __proto__: null }) &&
            name !== '__proto__' &&
            name !== 'constructor',
        ),
      fc
        .jsonValue({ maxDepth: 3, noUnicodeString: false })
        .filter(
          (value) => !JSON.stringify(value).includes('__proto__') && !JSON.stringify(value).includes('constructor'),
        ),
    )
    fc.assert(
      fc.property(item, extra, (written, more) => {
        const read = readMessage(createItem, message(Buffer.from(JSON.stringify({ ...more, ...written }))), 10_000_000)
        expect(read).toMatchObject({ body: written })
      }),
      runs,
    )
    fc.assert(
      fc.property(fc.oneof(heldSku, fc.constant(null)), (written) => {
        expect(
          readMessage(stockManagement, message(Buffer.from(JSON.stringify({ sku: written }))), 10_000),
        ).toMatchObject({ body: { sku: written } })
      }),
      runs,
    )
  })

  it('either refuses a message with a reason, or returns a body that parses again to the same value', () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.json({ maxDepth: 6 }).map((json) => Buffer.from(json)),
      fc.string({ unit: anyCharacter }).map((json) => Buffer.from(json)),
      fc
        .tuple(item, fc.constantFrom('sku', 'name', 'label', 'price', 'quantity'), fc.jsonValue())
        .map(([good, name, value]) => Buffer.from(JSON.stringify({ ...good, [name]: value }))),
    )
    fc.assert(
      fc.property(body, fc.constantFrom(...contracts), (content, contract) => {
        const read = readMessage(contract, message(content), 10_000)
        if ('kind' in read) {
          expect(['not-json', 'invalid', 'too-large']).toContain(read.reason)
          expect(read.error).not.toBe('')
        } else {
          const again = readMessage(contract, message(Buffer.from(JSON.stringify(read.body))), 1_000_000)
          expect(again).toMatchObject({ body: JSON.parse(JSON.stringify(read.body)) })
        }
      }),
      { ...runs, numRuns: runs.numRuns * 3 },
    )
  })

  it('rejects an object if, and only if, a member is repeated, wherever and however it is written', () => {
    const name = fc.constantFrom('a', 'b', 'sku', ':', '"', '\\', 'ä', '1', 'a:b', '')
    const written = (value: string, escaped: boolean) =>
      escaped
        ? `"${[...value].map((each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
        : JSON.stringify(value)
    const members = fc.array(fc.tuple(name, fc.boolean(), fc.constantFrom('1', '":"', '"{\\":"', 'null', '[":"]')), {
      maxLength: 5,
    })
    type Written = { json: string; twice: boolean }
    const objectOf = (inner: fc.Arbitrary<readonly Written[]>): fc.Arbitrary<Written> =>
      fc.tuple(members, inner).map(([own, within]) => ({
        json: `{${[
          ...own.map(([key, escaped, value]) => `${written(key, escaped)} : ${value}`),
          ...within.map(({ json }, n) => `"within${n}":[${json}]`),
        ].join(',')}}`,
        twice: new Set(own.map(([key]) => key)).size < own.length || within.some(({ twice }) => twice),
      }))
    const flat = objectOf(fc.constant([]))
    const object = objectOf(fc.array(objectOf(fc.array(flat, { maxLength: 2 })), { maxLength: 2 }))
    fc.assert(
      fc.property(object, ({ json, twice }) => {
        expect([json, parseJson(Buffer.from(json)).ok]).toEqual([json, !twice])
      }),
      { ...runs, numRuns: runs.numRuns * 3 },
    )
  })
})

/** amqplib's encoder. It throws if a message cannot be encoded. */
const requireOfAmqplib = createRequire(createRequire(import.meta.url).resolve('amqplib'))
const { encodeProperties } = requireOfAmqplib('./lib/defs.js')
const BASIC_PROPERTIES = 60
const FRAME_MAX_BYTES = 131_072

/** Values that amqplib may decode from a table. */
const { value: headerValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      fc.string({ unit: anyCharacter }),
      fc.double(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }).map(Number),
      fc.boolean(),
      fc.constant(null),
      fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
      fc.constant('x'.repeat(20_000)),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ '!': 'timestamp', value: Number(value) })),
      fc.nat().map((digits) => ({ '!': 'decimal', value: { places: 3, digits } })),
    ),
    fc.array(tie('value'), { maxLength: 4 }),
    // A table with a field named __proto__, as amqplib decodes it.
    tie('value').map((value) => (typeof value === 'object' ? Object.create(value) : {})),
    fc.dictionary(
      fc.oneof(fc.string({ unit: anyCharacter }), fc.constantFrom('!', 'value', '\ufffd'.repeat(255))),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
}))
const shortText = fc.oneof(fc.string({ unit: anyCharacter, maxLength: 255 }), fc.constant('\ufffd'.repeat(255)))
const properties = fc.record(
  {
    contentType: shortText,
    contentEncoding: shortText,
    deliveryMode: fc.integer({ min: 0, max: 255 }),
    priority: fc.integer({ min: 0, max: 255 }),
    correlationId: shortText,
    replyTo: fc.oneof(
      shortText,
      shortText.map((name) => `amq.gen-${name}`),
    ),
    expiration: shortText,
    messageId: shortText,
    timestamp: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(Number),
    type: shortText,
    userId: shortText,
    appId: shortText,
    headers: fc.dictionary(
      fc.oneof(shortText, fc.constantFrom('CC', 'BCC', 'x-limit', 'x-reason', 'x-delivery-count', '!')),
      headerValue,
      {
        maxKeys: 8,
      },
    ),
  },
  { requiredKeys: ['headers'] },
)

describe('messages with any properties or frame', () => {
  it('parses a message without throwing, and makes a dead letter that fits into one frame and reaches only its queue', () => {
    fc.assert(
      fc.property(properties, fc.constantFrom(...contracts), (given, contract) => {
        const hostile = message(Buffer.from('{}'), given)
        readMessage(contract, hostile, 1_000)
        const refused = { kind: 'refused', reason: 'invalid', error: String(given.messageId) } as const
        const letter = deadLetter(contract, hostile, refused, {
          consumer: 'c',
          at: new Date(),
          frameMax: 131_072,
          letterId: 'l',
        })
        const bytes: Buffer = encodeProperties(BASIC_PROPERTIES, 1, 2, letter.properties)
        expect(bytes.length).toBeLessThan(FRAME_MAX_BYTES)
        expect(letter.queue).toBe(`${contract.queue}.dead-letter`)
        for (const name of ['CC', 'BCC']) expect(letter.properties.headers).not.toHaveProperty(name)
        for (const name of ['expiration', 'userId']) expect(letter.properties).not.toHaveProperty(name)
        const reply = replyTo(contract, hostile, refused)
        if (reply) expect(reply.queue).toMatch(/^amq\.(gen-|rabbitmq\.reply-to\.)/)
      }),
      { ...runs, numRuns: runs.numRuns * 3 },
    )
  })

  it('searches a frame for deeply nested tables without throwing or changing its length', () => {
    const frame = fc.uint8Array({ minLength: 600, maxLength: 2_000 }).map((bytes) => {
      const buffer = Buffer.from(bytes)
      buffer[0] = 2
      buffer.writeUInt32BE(buffer.length - 8, 3)
      buffer.writeUInt16BE(0x2000, 19)
      return buffer
    })
    fc.assert(
      fc.property(frame, (buffer) => {
        const before = buffer.length
        flattenHeaders(buffer)
        expect(buffer).toHaveLength(before)
      }),
      runs,
    )
  })
})
