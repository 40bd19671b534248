// Sends the bad messages of CONTRACT.md. The Python consumers crash on them or lose them. Ours dead-letter each with a reason,
// and process the next message.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { call, item } from '../http.ts'
import { type Stack, startStack } from '../stack.ts'

const good = { sku: 'X', name: 'n', label: 'l', price: 1, quantity: 1 }
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const without = (member: string) => json(Object.fromEntries(Object.entries(good).filter(([name]) => name !== member)))

const CREATE: [name: string, body: Buffer, reason: string][] = [
  ['not JSON', Buffer.from('{"sku": '), 'not-json'],
  ['empty', Buffer.alloc(0), 'not-json'],
  ['invalid UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'not-json'],
  ['NaN as price', Buffer.from('{"sku":"X","name":"n","label":"l","price":NaN,"quantity":1}'), 'not-json'],
  ['null', json(null), 'invalid'],
  ['an array', json([good]), 'invalid'],
  ['a number', json(5), 'invalid'],
  ...['sku', 'name', 'label', 'price', 'quantity'].map((member): [string, Buffer, string] => [
    `no ${member}`,
    without(member),
    'invalid',
  ]),
  ['21 characters of sku', json({ ...good, sku: 'x'.repeat(21) }), 'invalid'],
  ['101 characters of name', json({ ...good, name: 'x'.repeat(101) }), 'invalid'],
  ['51 characters of label', json({ ...good, label: 'x'.repeat(51) }), 'invalid'],
  ['an empty sku', json({ ...good, sku: '' }), 'invalid'],
  ['a sku with leading white space', json({ ...good, sku: ' X' }), 'invalid'],
  ['a NUL in the name', json({ ...good, name: 'a\u0000b' }), 'invalid'],
  ['a quantity beyond 2^31-1', json({ ...good, quantity: 2147483648 }), 'invalid'],
  ['a negative quantity', json({ ...good, quantity: -1 }), 'invalid'],
  ['a fractional quantity', json({ ...good, quantity: 2.5 }), 'invalid'],
  ['price 1e308', json({ ...good, price: 1e308 }), 'invalid'],
  ['a price that is over the maximum after rounding', json({ ...good, price: 99_999_999_999.99995 }), 'invalid'],
  ['a negative price that would be rounded to 0', json({ ...good, price: -0.00001 }), 'invalid'],
  ['text as price', json({ ...good, price: 'abc' }), 'invalid'],
  ['NaN in a string as price', json({ ...good, price: 'NaN' }), 'invalid'],
  ['an empty price', json({ ...good, price: '' }), 'invalid'],
  ['true as price', json({ ...good, price: true }), 'invalid'],
  ['null as price', json({ ...good, price: null }), 'invalid'],
  ['text as quantity', json({ ...good, quantity: 'x' }), 'invalid'],
  ['a fractional quantity in a string', json({ ...good, quantity: '2.5' }), 'invalid'],
  ['a list as name', json({ ...good, name: ['x'] }), 'invalid'],
  ['an object as label', json({ ...good, label: {} }), 'invalid'],
  ['a lone surrogate', Buffer.from('{"sku":"X","name":"\\ud800","label":"l","price":1,"quantity":1}'), 'invalid'],
  ['a number as sku', json({ ...good, sku: 123 }), 'invalid'],
  ['null as sku', json({ ...good, sku: null }), 'invalid'],
]

const DELETE: [name: string, body: Buffer, reason: string][] = [
  ['not JSON', Buffer.from('sku'), 'not-json'],
  ['an array', json(['X']), 'invalid'],
  ['text', json('X'), 'invalid'],
  ['no sku', json({}), 'invalid'],
  ['a list as sku', json({ sku: ['X'] }), 'invalid'],
  ['an object as sku', json({ sku: {} }), 'invalid'],
  ['21 characters of sku', json({ sku: 'x'.repeat(21) }), 'invalid'],
  ['a lone surrogate', Buffer.from('{"sku":"\\ud800"}'), 'invalid'],
  ['0 as sku, which deleted every item in the Python suite', json({ sku: 0 }), 'invalid'],
  ['true as sku', json({ sku: true }), 'invalid'],
]

describe('bad messages on the queues', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('bad')
    await call(`${stack.http}/create_item`, { json: item(0), headers: { Prefer: 'wait=30' } })
  })
  afterAll(async () => await stack.stop())

  const rejected = async (queue: string, body: Buffer, reason: string) => {
    stack.channel.sendToQueue(queue, body, { persistent: true })
    await eventually(async () => {
      const [letter] = await stack.deadLetters(queue)
      expect(letter?.headers['x-reason']).toBe(reason)
      expect(String(letter?.headers['x-error'])).not.toBe('')
      expect(letter?.body).toBe(body.toString())
    })
  }

  it.each(CREATE)(
    'are dead-lettered from create_item: %s',
    async (_, body, reason) => await rejected('create_item', body, reason),
  )
  it.each(DELETE)(
    'are dead-lettered from stock_management: %s',
    async (_, body, reason) => await rejected('stock_management', body, reason),
  )
  it.each([
    ['not JSON', Buffer.from('{')],
    ['empty', Buffer.alloc(0)],
    ['invalid UTF-8', Buffer.from([0xff])],
  ])('are dead-lettered from healthcheck: %s', async (_, body) => await rejected('healthcheck', body, 'not-json'))

  it('are dead-lettered from order_processing: a queue of the suite as reply address, and a body that is not JSON', async () => {
    stack.channel.sendToQueue('order_processing', json(['message', 'Order Processing']), {})
    stack.channel.sendToQueue('order_processing', json([]), {
      replyTo: 'amq.rabbitmq.reply-to.bogus',
      correlationId: 'x',
    })
    stack.channel.sendToQueue('order_processing', json([]), { replyTo: 'create_item', correlationId: 'x' })
    await eventually(async () =>
      expect((await stack.deadLetters('order_processing'))[0]?.headers['x-error']).toMatch(/^replyTo: "create_item"/),
    )
    await rejected('order_processing', Buffer.from('{'), 'not-json')
    expect((await call(`${stack.http}/order_processing`)).body).toEqual([item(0)])
  })

  it('are dead-lettered if an item with their sku exists, and leave that item unchanged', async () => {
    await rejected('create_item', json({ ...item(0), name: 'another' }), 'duplicate-sku')
    expect((await call(`${stack.http}/order_processing`)).body).toEqual([item(0)])
  })

  it('are dead-lettered if another message used the same id', async () => {
    const send = (n: number) =>
      stack.channel.sendToQueue('create_item', json(item(n)), { persistent: true, messageId: 'once' })
    send(70)
    await eventually(async () => expect(await stack.skus()).toContain('SKU-70'))
    send(71)
    await eventually(async () =>
      expect((await stack.deadLetters('create_item'))[0]?.headers['x-reason']).toBe('message-id-reused'),
    )
    await call(`${stack.http}/stock_management`, { json: { sku: 'SKU-70' }, headers: { Prefer: 'wait=30' } })
  })

  it('do not affect the good messages around them', async () => {
    for (let n = 100; n < 400; n += 1)
      stack.channel.sendToQueue('create_item', n % 50 === 0 ? Buffer.from('bad') : json(item(n)), { persistent: true })
    await eventually(async () => expect(await stack.skus()).toHaveLength(1 + 294))
    const letters: unknown[] = []
    await eventually(async () => {
      letters.push(...(await stack.deadLetters('create_item')))
      expect(letters).toHaveLength(6)
    })
  })

  it('leave every service ready and every queue empty', async () => {
    await stack.ready()
    for (const queue of ['healthcheck', 'create_item', 'stock_management', 'order_processing'])
      await eventually(async () => expect(await stack.depth(queue)).toBe(0))
  })
})
