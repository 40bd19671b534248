// The pure functions that read a message, make its dead letter and make its reply.
import { describe, expect, it } from '@jest/globals'
import { createItem, healthcheck, orderProcessing } from '../src/contracts.ts'
import { deadLetter } from '../src/incoming/dead-letter.ts'
import { readMessage } from '../src/incoming/read-message.ts'
import { replyTo } from '../src/incoming/reply-envelope.ts'
import { received } from './received.ts'

const good = '{"sku": "a", "name": "n", "label": "l", "price": 1.5, "quantity": 2}'

describe('reading a message', () => {
  it('returns the body, the id, the redelivered flag and the headers', () => {
    expect(readMessage(createItem, received(good, { messageId: 'm', headers: { a: 1 } }, true), 1_000)).toMatchObject({
      body: { sku: 'a', price: 1.5 },
      messageId: 'm',
      redelivered: true,
      redrives: 0,
      headers: { a: 1 },
    })
  })

  it('accepts a byte order mark', () => {
    expect(readMessage(createItem, received(`\ufeff${good}`), 1_000)).toMatchObject({ body: { sku: 'a' } })
  })

  it('treats an empty message id as none, because messages of different bodies would otherwise share it', () => {
    expect(readMessage(createItem, received(good, { messageId: '' }), 1_000)).toMatchObject({ messageId: undefined })
  })

  it('accepts a message of exactly the maximum size, and refuses a larger one', () => {
    expect(readMessage(createItem, received(good), good.length)).toMatchObject({ body: { sku: 'a' } })
    expect(readMessage(createItem, received(good), good.length - 1)).toMatchObject({ reason: 'too-large' })
  })

  it('gives equal bodies the same fingerprint, and different bodies different ones', () => {
    const fingerprint = (text: string) => {
      const read = readMessage(createItem, received(text), 1_000)
      return 'kind' in read ? undefined : read.fingerprint
    }
    expect(fingerprint(good)).toBe(fingerprint(good))
    expect(fingerprint(good)).not.toBe(fingerprint(good.replace('1.5', '1.6')))
  })

  it('refuses deeply nested JSON instead of throwing', () => {
    expect(readMessage(createItem, received('['.repeat(100_000)), 1_000_000)).toMatchObject({ kind: 'refused' })
    expect(readMessage(createItem, received('['.repeat(9_000) + ']'.repeat(9_000)), 1_000_000)).toMatchObject({
      reason: 'invalid',
    })
  })

  it('names each missing member', () => {
    expect(readMessage(createItem, received('{"sku": "a"}'), 1_000)).toMatchObject({
      error: expect.stringMatching(/name: .*label: .*price: .*quantity: /),
    })
  })
})

describe('a dead letter', () => {
  const refused = { kind: 'refused' as const, reason: 'invalid', error: 'sku: must not be empty' }
  const failure = {
    consumer: 'consumer_two',
    at: new Date('2026-01-02T03:04:05.678Z'),
    frameMax: 131_072,
    letterId: 'letter',
  }

  it('keeps the bytes and the properties, and adds the reason, error, time, consumer and number of attempts', () => {
    const content = Buffer.from([0xff, 0x00])
    const letter = deadLetter(
      createItem,
      received(content, { messageId: 'm', contentType: 'text/x', headers: { kept: 'yes' } }),
      refused,
      failure,
    )
    expect(letter.queue).toBe('create_item.dead-letter')
    expect(letter.content).toEqual(content)
    expect(letter.properties).toMatchObject({
      messageId: 'm',
      contentType: 'text/x',
      persistent: true,
      headers: {
        kept: 'yes',
        'x-reason': 'invalid',
        'x-error': refused.error,
        'x-failed-at': '2026-01-02T03:04:05.678Z',
        'x-consumer': 'consumer_two',
        'x-attempts': 1,
      },
    })
  })

  it('has an id of its own only if its message has no id that can be sent again', () => {
    const letterIdOf = (messageId?: string) =>
      deadLetter(createItem, received('', { messageId }), refused, failure).properties.headers['x-letter-id']
    expect([undefined, '', 'x'.repeat(256), 'm'].map(letterIdOf)).toEqual(['letter', 'letter', 'letter', undefined])
  })

  it('counts the attempts of this delivery and of earlier ones, as far as the broker reports them', () => {
    const attempts = (headers: object, redelivered: boolean, tried: object = {}) => {
      const message = received('', { headers }, redelivered)
      return deadLetter(createItem, message, { ...refused, ...tried }, failure).properties.headers['x-attempts']
    }
    expect(attempts({}, true)).toBe(2)
    expect(attempts({ 'x-delivery-count': 4 }, true)).toBe(5)
    expect(attempts({ 'x-delivery-count': 'many' }, false, { attempts: 3 })).toBe(3)
  })

  it('counts its redrives up to 100, and treats an invalid header as no redrive', () => {
    const put = (redrives: unknown) => received('', { headers: { 'x-redrives': redrives } })
    const counted = (redrives: unknown) =>
      deadLetter(createItem, put(redrives), refused, failure).properties.headers['x-redrives']
    expect([undefined, 0, 4, 100, 101, -1, 0.5, '2', { a: 1 }].map(counted)).toEqual([1, 1, 5, 100, 1, 1, 1, 1, 1])
    expect(readMessage(healthcheck, { ...put(3), content: Buffer.from('1') }, 1_000)).toMatchObject({ redrives: 3 })
  })

  it('has no expiration and no user id', () => {
    const letter = deadLetter(createItem, received('', { expiration: '1', userId: 'guest' }), refused, failure)
    expect(letter.properties).not.toHaveProperty('expiration')
    expect(letter.properties).not.toHaveProperty('userId')
  })

  it('truncates an error that does not fit into a frame', () => {
    const letter = deadLetter(createItem, received(''), { ...refused, error: 'x'.repeat(200_000) }, failure)
    expect(letter.properties.headers['x-error'].length).toBeLessThan(3_000)
  })
})

describe('a reply', () => {
  const applied = { kind: 'applied' as const, result: { outcome: 'created' }, repeated: false }
  it.each(['amq.rabbitmq.reply-to.g1h2AA5yZXBseQ', 'amq.gen-JzTY20BRgKO-HjmUJj0wLg'])('is sent to %s', (address) => {
    expect(replyTo(createItem, received(good, { replyTo: address, correlationId: 'c' }), applied)).toMatchObject({
      queue: address,
      properties: { correlationId: 'c', persistent: false },
    })
  })
  it.each([undefined, '', 'create_item', 'create_item.dead-letter', 'amq.rabbitmq.log', 5, {}])(
    'is not sent to %j',
    (address) => {
      expect(replyTo(createItem, received(good, { replyTo: address }), applied)).toBeUndefined()
    },
  )

  it('has the header x-repeated if the command was applied before this delivery', () => {
    const message = received(good, { replyTo: 'amq.gen-JzTY20BRgKO-HjmUJj0wLg' })
    expect(replyTo(createItem, message, applied)?.properties.headers).toBeUndefined()
    expect(replyTo(createItem, message, { ...applied, repeated: true })).toMatchObject({
      content: Buffer.from('{"outcome":"created"}'),
      properties: { headers: { 'x-repeated': true } },
    })
  })

  // A client must not mistake the error text of a refused query for a list.
  it('is JSON for a refused command, and text that is not JSON for a refused query', () => {
    const refused = { kind: 'refused', reason: 'too-large', error: '[]' } as const
    const message = received('[]', { replyTo: 'amq.gen-JzTY20BRgKO-HjmUJj0wLg' })
    expect(replyTo(createItem, message, refused)?.content.toString()).toBe('{"error":"[]"}')
    expect(replyTo(orderProcessing, message, refused)).toMatchObject({
      content: Buffer.from('error: []'),
      properties: { headers: { 'x-error': 'too-large' } },
    })
  })
})
