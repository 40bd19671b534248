// Messages with hostile numbers, properties or headers are refused with an error that names the field, or parsed as intended.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import { createItem, orderProcessing } from '../src/contracts.ts'
import { deadLetter } from '../src/incoming/dead-letter.ts'
import { readMessage } from '../src/incoming/read-message.ts'
import { received } from './received.ts'

const itemWith = (members: string) =>
  `{"sku":"a","name":"n","label":"l",${members}${members.includes('price') ? '' : ',"price":1'}${members.includes('quantity') ? '' : ',"quantity":1'}}`
const letterOf = (properties: Record<string, unknown>, frameMax = 131_072, error = 'a\n\u001b[31m\u2028b') =>
  deadLetter(
    createItem,
    received('', properties),
    { kind: 'refused', reason: 'invalid', error },
    { consumer: 'c', at: new Date(0), frameMax, letterId: 'l' },
  ).properties

/** The size of the frame that amqplib encodes from `properties`. */
function encodedBytes(properties: object): number {
  const require = createRequire(import.meta.url)
  const defs = require(join(dirname(require.resolve('amqplib')), 'lib/defs.js'))
  return defs.encodeProperties(defs.BasicProperties, 1, 0, properties).length
}

describe('reading a message', () => {
  it.each([
    ['price', '1e999'],
    ['price', '-1e999'],
    ['price', '9'.repeat(400)],
    ['price', '-0.00001'],
    ['price', '99999999999.99995'],
    ['price', `"1e${'9'.repeat(400)}"`],
    ['price', `"${'9'.repeat(5_000)}x"`],
    ['price', '"-0.00001"'],
    ['quantity', '1e999'],
    ['quantity', '9007199254740993'],
    ['quantity', '18446744073709551616'],
    ['quantity', '9'.repeat(400)],
    ['quantity', '1e-7'],
    ['quantity', '-1'],
    ['quantity', '2147483648'],
  ])('refuses the %s %s', (name, number) => {
    const read = readMessage(createItem, received(itemWith(`"${name}":${number}`)), 10_000)
    expect(read).toMatchObject({ reason: 'invalid', error: expect.stringMatching(`^${name}: `) })
  })

  it.each([
    ['price', '1e-400', 0],
    ['price', '-0', 0],
    ['quantity', '-0', 0],
    ['quantity', '1e2', 100],
  ])('accepts the %s %s as %i', (name, number, value) => {
    const read = readMessage(createItem, received(itemWith(`"${name}":${number}`)), 10_000)
    expect(read).toMatchObject({ body: { [name]: value } })
  })
})

describe('the body that reaches a handler', () => {
  it('has only the five documented members and the ordinary prototype', () => {
    const read = readMessage(
      createItem,
      received(itemWith('"constructor":"x","hasOwnProperty":1,"toString":null')),
      10_000,
    )
    if ('kind' in read) throw new Error(read.error)
    expect(Object.keys(read.body).sort()).toEqual(['label', 'name', 'price', 'quantity', 'sku'])
    expect(Object.getPrototypeOf(read.body)).toBe(Object.prototype)
  })
})

describe('properties', () => {
  // Different ids that are not UTF-8 may be decoded to the same text.
  it('are refused with a message id that is not UTF-8', () => {
    expect(readMessage(createItem, received(itemWith('"price":1'), { messageId: 'a\ufffd' }), 1_000)).toMatchObject({
      reason: 'invalid',
      error: 'messageId: must be valid UTF-8',
    })
  })

  it('are refused with headers hidden in a prototype', () => {
    const headers = Object.create({ 'x-limit': 1 })
    expect(readMessage(orderProcessing, received('[]', { headers }), 1_000)).toMatchObject({
      reason: 'invalid',
      error: expect.stringContaining('__proto__'),
    })
  })

  it.each(['create_item', 'order_processing.dead-letter', 'amq.rabbitmq.reply-to', 'amq.generated', ' amq.gen-x', ''])(
    'are refused in a query with the reply address %j',
    (replyTo) => {
      expect(readMessage(orderProcessing, received('[]', { replyTo }), 1_000)).toMatchObject({
        reason: 'invalid',
        error: expect.stringMatching(/^replyTo: /),
      })
    },
  )

  it.each(['amq.rabbitmq.reply-to.g1h2AA5yZXBseQ', 'amq.gen-JzTY20BRgKO-HjmUJj0wLg', undefined])(
    'are accepted in a query with the reply address %j',
    (replyTo) => {
      expect(readMessage(orderProcessing, received('[]', { replyTo }), 1_000)).not.toHaveProperty('kind')
    },
  )
})

describe('a dead letter', () => {
  it('drops and names the properties and headers that cannot be encoded again, and keeps the others', () => {
    const { headers, ...properties } = letterOf({
      messageId: '\ufffd'.repeat(255),
      timestamp: 2 ** 64,
      appId: 'kept',
      headers: {
        'not a number': Number.NaN,
        min: Number.NEGATIVE_INFINITY,
        fraction: -1130556214463219.2,
        marked: { '!': 'evil', value: 1 },
        late: { '!': 'timestamp', value: 2 ** 64 },
        ['n'.repeat(256)]: 1,
        deep: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]],
        hidden: Object.create({ a: 1 }),
        wide: 'x'.repeat(40_000),
        table: { list: [1, 'two', null, Buffer.from('3')], at: { '!': 'timestamp', value: 5 } },
      },
    })
    expect(properties).toEqual({ appId: 'kept', persistent: true })
    expect(Object.keys(headers)).toEqual([
      'table',
      'x-reason',
      'x-error',
      'x-failed-at',
      'x-consumer',
      'x-attempts',
      'x-redrives',
      'x-letter-id',
      'x-dropped',
    ])
    expect(headers['x-dropped']).toMatch(
      /^messageId, timestamp, header not a number, header min, header fraction, header marked, header/,
    )
  })

  it('keeps at most 32 KiB of headers', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`h${n}`, 'x'.repeat(1_000)]))
    const kept = Object.keys(letterOf({ headers: many }).headers).filter((name) => name in many)
    expect(kept.length).toBeGreaterThan(20)
    expect(kept.length).toBeLessThanOrEqual(32)
  })

  it.each([4_096, 8_192, 131_072])('fits with all its properties into one frame of %i bytes', (frameMax) => {
    const text = 'é'.repeat(127)
    const many = Array.from({ length: 300 }, (_, n) => [`${n} ${'ü'.repeat(100)}`, ['x'.repeat(200), n, { n }]])
    const full = { contentType: text, contentEncoding: text, correlationId: text, replyTo: text, messageId: text }
    const more = {
      type: text,
      appId: text,
      timestamp: 5,
      priority: 9,
      deliveryMode: 2,
      headers: Object.fromEntries(many),
    }
    const letter = letterOf({ ...full, ...more }, frameMax, '\u0000'.repeat(3_000))
    expect(Object.keys(letter.headers).length).toBeGreaterThan(6)
    expect(letter.headers).toMatchObject({ 'x-error': expect.stringMatching(/^(\\u0000)+.*…$/) })
    expect(encodedBytes({ ...letter, deliveryMode: 2 })).toBeLessThanOrEqual(frameMax)
  })

  it('has no CC or BCC header, which would route it to other queues', () => {
    const { headers } = letterOf({ headers: { CC: ['stock_management'], BCC: ['stock_management'], cc: 'kept' } })
    expect(headers).not.toHaveProperty('CC')
    expect(headers).not.toHaveProperty('BCC')
    expect(headers).toMatchObject({ cc: 'kept', 'x-dropped': 'header CC, header BCC' })
  })

  it('has an error text on one line without control characters', () => {
    expect(letterOf({}).headers['x-error']).toBe('a\\u000a\\u001b[31m\\u2028b')
  })
})
