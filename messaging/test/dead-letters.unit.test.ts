// How dead letters are identified, shown as text that is safe for a terminal, and redriven.
import { hash } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { anyCharacter } from 'testkit/any-character'
import { described, idOf } from '../src/dead-letters/described.ts'
import { deadLetterSource } from '../src/dead-letters/desk.ts'
import { redriven } from '../src/dead-letters/redriven.ts'
import { jsonLine, jsonLinePieces, printable } from '../src/dead-letters/text.ts'
import { received } from './received.ts'

const message = (content: Buffer | string, properties: object = {}) => received(content, { headers: {}, ...properties })
const shown = (content: Buffer | string, properties: object = {}, max = 1_000) =>
  described('create_item', message(content, properties), max)

/** Headers of a message that has reached the delivery limit of a quorum queue on RabbitMQ 4.3. `mine` is the sender's. */
const byDeliveryLimit = {
  mine: 1,
  'x-acquired-count': 21,
  'x-death': [
    {
      count: 1,
      reason: 'delivery_limit',
      queue: 'create_item',
      time: { '!': 'timestamp', value: 1_795_601_008 },
      exchange: '',
      'routing-keys': ['create_item'],
    },
  ],
  'x-delivery-count': 21,
  'x-first-death-exchange': '',
  'x-first-death-queue': 'create_item',
  'x-first-death-reason': 'delivery_limit',
  'x-last-death-exchange': '',
  'x-last-death-queue': 'create_item',
  'x-last-death-reason': 'delivery_limit',
}

describe('the description of a dead letter', () => {
  it('has the reason, the time and the number of deliveries when the broker dead-lettered the message', () => {
    expect(shown('{}', { headers: byDeliveryLimit })).toMatchObject({
      reason: 'delivery_limit',
      failedAt: '2026-11-25T10:03:28.000Z',
      by: 'broker',
      attempts: 21,
      error: null,
    })
  })

  it('truncates the body between characters, never within one', () => {
    expect(shown('aж😀', {}, 2)).toMatchObject({ body: 'a', shortened: true, bytes: 7 })
    expect(shown('aж😀', {}, 6)).toMatchObject({ body: 'aж', shortened: true })
    expect(shown('aж😀', {}, 7)).toMatchObject({ body: 'aж😀', shortened: false })
  })

  it('is JSON on one line without control characters, whatever the headers and the body are', () => {
    const names = fc.constantFrom(
      'x-reason',
      'x-error',
      'x-failed-at',
      'x-consumer',
      'x-attempts',
      'x-death',
      '__proto__',
    )
    const headers = fc.dictionary(names, fc.anything({ withBigInt: true, withNullPrototype: true }))
    fc.assert(
      fc.property(headers, fc.uint8Array(), fc.nat(20), (given, bytes, max) => {
        const letter = described('create_item', message(Buffer.from(bytes), { headers: given }), max)
        const line = jsonLine(letter)
        expect(JSON.parse(line).id).toBe(letter.id)
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u)
      }),
    )
  })

  it('has the same id for the same message, and a different id for another message', () => {
    expect(idOf(message('a'))).toBe(idOf(message('a')))
    expect(idOf(message('a'))).not.toBe(idOf(message('b')))
    expect(idOf(message('a', { headers: { 'x-failed-at': '1' } }))).not.toBe(idOf(message('a')))
  })

  it('has an id of its own if equal messages without an id were refused at the same time', () => {
    const at = { 'x-failed-at': '2026-01-02T03:04:05.678Z' }
    const ids = ['1', '2', '1'].map((letter) => idOf(message('a', { headers: { ...at, 'x-letter-id': letter } })))
    expect(ids[1]).not.toBe(ids[0])
    expect(ids[2]).toBe(ids[0])
  })

  it('has another id if the broker dead-lettered the same content at another time', () => {
    const ids = [1, 2].map((value) =>
      idOf(message('a', { headers: { 'x-death': [{ reason: 'expired', time: { '!': 'timestamp', value } }] } })),
    )
    expect(ids[1]).not.toBe(ids[0])
  })

  it('has the same id as in earlier versions if the message has none', () => {
    const id = `~${hash('sha256', '2026-01-02T03:04:05Z body', 'hex').slice(0, 32)}`
    expect(idOf(message('body', { headers: { 'x-failed-at': '2026-01-02T03:04:05Z' } }))).toBe(id)
  })

  it('is made without a copy of the body', () => {
    const large = message(Buffer.alloc(15 * 1_048_576, 'x'))
    const before = process.memoryUsage().arrayBuffers
    described('create_item', large, 0)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_048_576)
  })
})

describe('text for a terminal', () => {
  it('has escapes for control characters, line separators, direction marks and lone surrogates', () => {
    expect(printable('a\u001b[2J\n\u0085\u202eb\u2028\ud800 ж😀')).toBe(
      'a\\u001b[2J\\n\\u0085\\u202eb\\u2028\\ud800 ж😀',
    )
  })

  it('parses as JSON to the same value', () => {
    fc.assert(fc.property(fc.string({ unit: anyCharacter }), (text) => expect(JSON.parse(jsonLine(text))).toBe(text)))
  })

  it('of a dead letter comes in pieces of fewer than 400,000 characters', () => {
    const escapes = '"body":""\\\u001b'
    const texts = ['', 'short', '😀'.repeat(100_000), `x${'😀'.repeat(100_000)}`, escapes.repeat(30_000)]
    for (const body of [...texts.map((text) => Buffer.from(text)), Buffer.alloc(200_000, 0xff)]) {
      const dead = message(body, { messageId: escapes, headers: { body: '' } })
      const pieces = [...jsonLinePieces(described('create_item', dead, 0), body)]
      expect(pieces.join('').endsWith('}\n')).toBe(true)
      expect(JSON.parse(pieces.join(''))).toEqual(described('create_item', dead, Number.POSITIVE_INFINITY))
      expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(400_000)
    }
  })
})

describe('a redriven message', () => {
  it('keeps the ids and headers of the sender, and drops those of the failure, the reply and the routing', () => {
    const headers = {
      ...byDeliveryLimit,
      'x-reason': 'r',
      'x-error': 'e',
      'x-attempts': 3,
      'x-hears-refusals': true,
      CC: ['other'],
      'x-after': 7,
    }
    const dead = message('{}', {
      headers,
      messageId: 'm',
      replyTo: 'r',
      correlationId: 'c',
      expiration: '1',
      userId: 'u',
    })
    const { queue, content, properties } = redriven('create_item', dead, 131_072)
    expect(queue).toBe('create_item')
    expect(content).toBe(dead.content)
    expect(properties).toEqual({
      messageId: 'm',
      correlationId: 'c',
      persistent: true,
      mandatory: true,
      headers: { mine: 1, 'x-after': 7 },
    })
  })
})

describe('the source queue of dead letters', () => {
  it('is found by its own name or by that of its dead-letter queue, and only if it is a queue of the suite', () => {
    expect(deadLetterSource('create_item')).toBe('create_item')
    expect(deadLetterSource('create_item.dead-letter')).toBe('create_item')
    for (const name of ['', '.dead-letter', 'amq.gen-x', 'create_item.dead-letter.dead-letter', '__proto__'])
      expect(deadLetterSource(name)).toBeUndefined()
  })
})
