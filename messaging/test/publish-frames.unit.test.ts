// Compares the encoding of messages with that of amqplib, byte by byte.
import { describe, expect, it } from '@jest/globals'
import type { Options } from 'amqplib'
import fc from 'fast-check'
import { fuzzParameters } from 'testkit'
import { z } from 'zod'
import { internal } from '../src/connection/inside-amqplib.ts'
import { type Publication, publishFrames } from '../src/connection/publish-frames.ts'

const { encodeTable } = internal('codec.js')
const { BasicPublish, BasicProperties, encodeMethod, encodeProperties } = internal('defs.js')
const { makeBodyFrame } = internal('frame.js')
const { publish: fieldsOf } = internal('api_args.js')

const FRAME_MAX = 8_192
const CHANNEL = 258

type Given = Omit<Publication, 'channel'>

const ours = (given: Given): Buffer =>
  Buffer.concat([...publishFrames({ channel: CHANNEL, ...given }, FRAME_MAX, encodeTable)])

function amqplibs({ exchange, routingKey, mandatory, options, content }: Given): Buffer {
  const fields = fieldsOf(exchange, routingKey, { ...options, mandatory })
  const frames = [
    encodeMethod(BasicPublish, CHANNEL, fields),
    encodeProperties(BasicProperties, CHANNEL, content.length, fields),
  ]
  for (let from = 0; from < content.length; from += FRAME_MAX - 8)
    frames.push(makeBodyFrame(CHANNEL, content.subarray(from, from + FRAME_MAX - 8)))
  return Buffer.concat(z.array(z.instanceof(Buffer)).parse(frames))
}

const text = fc.string({ unit: 'binary', maxLength: 60 })
const headers = fc.dictionary(
  text,
  fc.oneof(
    text,
    fc.integer(),
    fc.double({ noNaN: true, min: -1e15, max: 1e15 }),
    fc.boolean(),
    fc.constant(null),
    fc.array(text),
  ),
)
const octet = fc.nat({ max: 255 })
const given: fc.Arbitrary<Given> = fc.record({
  exchange: text,
  routingKey: text,
  mandatory: fc.boolean(),
  content: fc
    .oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .constantFrom(2_047, 2_048, 2_049, FRAME_MAX - 8, FRAME_MAX - 7, 3 * FRAME_MAX)
        .map((size) => Buffer.alloc(size, 7)),
    )
    .map((bytes) => Buffer.from(bytes)),
  options: fc.record(
    {
      persistent: fc.boolean(),
      deliveryMode: fc.constantFrom(1, 2),
      contentType: text,
      contentEncoding: text,
      headers,
      priority: octet,
      correlationId: text,
      replyTo: text,
      expiration: fc.oneof(fc.nat(), fc.nat().map(String)),
      messageId: text,
      timestamp: fc.oneof(fc.nat(), fc.maxSafeNat()),
      type: text,
      userId: text,
      appId: text,
    },
    { requiredKeys: [] },
  ),
})

describe('publishFrames', () => {
  it('encodes a message to the same bytes as amqplib', () => {
    fc.assert(
      fc.property(given, (message) => {
        expect(ours(message).equals(amqplibs(message))).toBe(true)
      }),
      fuzzParameters(1_000),
    )
  })

  const message: Given = { exchange: '', routingKey: 'q', mandatory: true, options: {}, content: Buffer.from('{}') }

  it('does not copy large content', () => {
    const content = Buffer.alloc(3 * FRAME_MAX)
    const pieces = publishFrames({ channel: 1, ...message, content }, FRAME_MAX, encodeTable)
    expect(pieces.filter(({ buffer }) => buffer === content.buffer)).toHaveLength(4)
  })

  it.each([
    ['a string of 256 bytes', { messageId: 'é'.repeat(128) }, 'messageId has more than 255 bytes'],
    ['a string of 100,000 characters', { type: 'x'.repeat(100_000) }, 'type has more than 255 bytes'],
    ['a number instead of a string', { correlationId: 7 }, 'correlationId must be a string'],
    ['a string instead of a number', { timestamp: '7' }, 'timestamp must be an integer'],
    ['a fraction', { priority: 0.5 }, 'priority must be an integer'],
    ['an octet above 255', { priority: 256 }, 'out of range'],
    ['CC queues', { CC: 'other' }, 'CC and BCC are not supported'],
    ['headers that are too large', { headers: { big: 'x'.repeat(68_000) } }, 'exceeds'],
  ])('rejects %s', (_, options, why) => {
    expect(() => ours({ ...message, options: options as Options.Publish })).toThrow(why)
    expect(ours(message).equals(amqplibs(message))).toBe(true)
  })

  it('encodes the same bytes as amqplib when headers, properties and copied content have their maximum size', () => {
    const long = 'x'.repeat(255)
    const names = ['contentType', 'contentEncoding', 'correlationId', 'replyTo', 'messageId', 'type', 'userId', 'appId']
    const options = { headers: { big: 'x'.repeat(65_500) }, ...Object.fromEntries(names.map((name) => [name, long])) }
    const largest = { exchange: long, routingKey: long, mandatory: true, options, content: Buffer.alloc(2_048, 7) }
    expect(ours(largest).equals(amqplibs(largest))).toBe(true)
  })
})
