// Publishes messages of a malicious peer to real queues. Each is dead-lettered with a reason that names the field, or is
// applied with its intended meaning.
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { double, field, openRawPublisher, type RawPublisher, sized, uint64 } from '../../../messaging/test/raw-amqp.ts'
import { call, item } from '../http.ts'
import { type Stack, startStack } from '../stack.ts'

const QUEUES = ['healthcheck', 'create_item', 'stock_management', 'order_processing'] as const
const GOOD = { sku: 'HOSTILE', name: 'n', label: 'l', price: 1, quantity: 1 }
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
/** The good item with `text` appended to its members. */
const itemPlus = (text: string) => Buffer.from(`${JSON.stringify(GOOD).slice(0, -1)},${text}}`)
const itemWith = (name: string, number: string) =>
  Buffer.from(JSON.stringify({ ...GOOD, [name]: 0 }).replace(`"${name}":0`, `"${name}":${number}`))

const BODIES: [name: string, body: Buffer, reason: string, names: RegExp][] = [
  ['a sku twice', itemPlus('"sku":"OTHER"'), 'invalid', /^sku: .*more than once/],
  ['a sku twice, once by escapes', itemPlus('"\\u0073ku":"HOSTILE"'), 'invalid', /^sku: .*more than once/],
  ['__proto__', itemPlus('"__proto__":{"quantity":9}'), 'invalid', /^__proto__: /],
  ['a constructor with a prototype', itemPlus('"constructor":{"prototype":{"a":1}}'), 'invalid', /^constructor: /],
  ['arrays nested 10,000 deep', itemPlus(`"x":${'['.repeat(10_000)}${']'.repeat(10_000)}`), 'invalid', /^body: nested/],
  ['arrays that are not closed', Buffer.from('['.repeat(500_000)), 'not-json', /./],
  ['a price of 1e999', itemWith('price', '1e999'), 'invalid', /^price: /],
  ['a price of 400 digits', itemWith('price', '7'.repeat(400)), 'invalid', /^price: /],
  ['a quantity of 400 digits', itemWith('quantity', '7'.repeat(400)), 'invalid', /^quantity: /],
  ['a quantity of 2^53+1', itemWith('quantity', '9007199254740993'), 'invalid', /^quantity: /],
  [
    'a byte that is not UTF-8',
    Buffer.concat([json(GOOD).subarray(0, -1), Buffer.from([0x2c, 0x22, 0xff, 0x22])]),
    'not-json',
    /UTF-8/,
  ],
  ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), 'not-json', /UTF-8/],
  ['UTF-16', Buffer.from(JSON.stringify(GOOD), 'utf16le'), 'not-json', /./],
  ['a body over 1 MiB', itemPlus(`"x":"${'x'.repeat(1_048_576)}"`), 'too-large', /at most 1048576/],
]

describe('hostile messages', () => {
  let stack: Stack
  let raw: RawPublisher
  beforeAll(async () => {
    stack = await startStack('hostile', { env: { RABBITMQ_UNCONFIRMED_MOST_BYTES: '4000000' } })
  })
  afterAll(async () => await stack.stop())
  beforeEach(async () => {
    const { username, password, host, port, vhost } = stack.space.rabbitmq
    raw = await openRawPublisher(`amqp://${username}:${password}@${host}:${port}/${encodeURIComponent(vhost)}`)
  })
  // Rejects if the broker did not accept the message. Otherwise a test could pass without sending anything.
  afterEach(async () => await raw.close())

  const letters = async (queue: string, count: number) => {
    const found: Awaited<ReturnType<Stack['deadLetters']>> = []
    await eventually(async () => {
      found.push(...(await stack.deadLetters(queue)))
      expect(found).toHaveLength(count)
    })
    return found
  }
  const expectDeadLetter = async (queue: string, reason: string, names: RegExp) => {
    const [letter] = await letters(queue, 1)
    expect(letter?.headers['x-reason']).toBe(reason)
    expect(letter?.headers['x-error']).toMatch(names)
    return letter
  }

  describe('a body', () => {
    it.each(BODIES)('is dead-lettered: %s', async (_, body, reason, names) => {
      await raw.publish('create_item', body)
      const letter = await expectDeadLetter('create_item', reason, names)
      expect(letter?.body).toBe(body.toString())
      expect(await stack.skus()).toEqual([])
    })

    it('is dead-lettered even if it is larger than the limit for unconfirmed bytes', async () => {
      await raw.publish('healthcheck', Buffer.alloc(10_000_000, 'x'))
      expect((await expectDeadLetter('healthcheck', 'too-large', /10000000 bytes/))?.body).toHaveLength(10_000_000)
    })

    it('is applied with zero in place of minus zero', async () => {
      await raw.publish(
        'create_item',
        Buffer.from(itemWith('price', '-0').toString().replace('"quantity":1', '"quantity":-0')),
      )
      await eventually(async () => expect(await stack.skus()).toEqual(['HOSTILE']))
      const { body } = await call(`${stack.http}/order_processing`)
      expect(body).toEqual([{ ...GOOD, price: 0, quantity: 0 }])
      await call(`${stack.http}/stock_management`, { json: { sku: 'HOSTILE' }, headers: { Prefer: 'wait=30' } })
    })
  })

  describe('the properties and headers of a dead letter', () => {
    const BAD = Buffer.from('bad')
    const nestedTable = (levels: number): Buffer => {
      let table: Buffer = Buffer.alloc(0)
      for (let level = 0; level < levels; level += 1) table = field('', 'F', sized(table))
      return table
    }
    it.each([
      ['an id that is not UTF-8', { messageId: Buffer.alloc(255, 0xff) }, 'messageId'],
      ['a correlation id that is not UTF-8', { correlationId: Buffer.alloc(255, 0xff) }, 'correlationId'],
      ['the maximum timestamp', { timestamp: 2n ** 64n - 1n }, 'timestamp'],
      ['a header -1e300', { headers: field('h', 'd', double(-1e300)) }, 'header h'],
      ['a header with the maximum timestamp', { headers: field('h', 'T', uint64(2n ** 64n - 1n)) }, 'header h'],
      [
        'a header that amqplib would encode as another type',
        { headers: field('h', 'F', sized(field('!', 'S', sized('evil')))) },
        'header h',
      ],
      [
        'a header whose name is not UTF-8',
        { headers: field(Buffer.alloc(255, 0xff), 't', Buffer.from([1])) },
        'header',
      ],
      ['a header of 100 kB', { headers: field('h', 'S', sized('x'.repeat(100_000))) }, 'header h'],
      [
        '2,000 headers',
        {
          headers: Buffer.concat(
            Array.from({ length: 2_000 }, (_, n) => field(`header-${n}`, 'S', sized('0123456789'))),
          ),
        },
        'header header-1999',
      ],
      ['tables nested 500 deep', { headers: nestedTable(500) }, 'header '],
      [
        'tables nested 8,000 deep, which would overflow the stack of amqplib',
        { headers: nestedTable(8_000) },
        'header ',
      ],
    ])('do not include a property or header that cannot be encoded again: %s', async (_, properties, dropped) => {
      await raw.publish('create_item', BAD, properties)
      const letter = await expectDeadLetter(
        'create_item',
        properties && 'messageId' in properties ? 'invalid' : 'not-json',
        /./,
      )
      expect(letter?.headers['x-dropped']).toContain(dropped.startsWith('header header-') ? 'header header-' : dropped)
    })

    it('include every type of header that can be encoded again', async () => {
      const headers = Buffer.concat([
        field('b', 'b', Buffer.from([0xff])),
        field('B', 'B', Buffer.from([0xff])),
        field('l', 'l', uint64(2n ** 63n - 1n)),
        field('D', 'D', Buffer.from([2, 0, 0, 0, 5])),
        field('V', 'V', Buffer.alloc(0)),
        field('x', 'x', sized(Buffer.from([0, 1, 255]))),
        field('A', 'A', sized(Buffer.concat([Buffer.from('V'), Buffer.from('t\x01')]))),
        field('F', 'F', sized(field('t', 'T', uint64(5n)))),
        field('x-reason', 'S', sized('a lie')),
        field('x-attempts', 'S', sized('-1')),
      ])
      await raw.publish('create_item', BAD, {
        headers,
        priority: 255,
        contentType: Buffer.from('a/b'),
      })
      const letter = await expectDeadLetter('create_item', 'not-json', /./)
      expect(letter?.headers).toMatchObject({ b: -1, B: 255, V: null, 'x-attempts': 1, 'x-dropped': 'header D' })
    })
  })

  describe('a query', () => {
    it('is dead-lettered if it has a header named __proto__', async () => {
      const headers = field('__proto__', 'F', sized(field('x-limit', 'I', Buffer.from([0, 0, 0, 1]))))
      await raw.publish('order_processing', json([]), { headers, replyTo: Buffer.from('amq.rabbitmq.reply-to.x') })
      await expectDeadLetter('order_processing', 'invalid', /^header __proto__: /)
    })

    it.each([
      ['x-limit', field('x-limit', 'S', sized('5'))],
      ['x-limit', field('x-limit', 'd', double(1e308))],
      ['x-after', field('x-after', 'l', uint64(2n ** 63n - 1n))],
      ['x-after', field('x-after', 'V', Buffer.alloc(0))],
      ['x-sku', field('x-sku', 'F', sized(''))],
      ['x-label', field('x-label', 'A', sized(''))],
    ])('is dead-lettered if its header %s has a wrong type or size', async (name, headers) => {
      await raw.publish('order_processing', json([]), { headers })
      await expectDeadLetter('order_processing', 'invalid', new RegExp(`header ${name}: `))
    })
  })

  describe('a reply address', () => {
    it.each(['create_item', 'stock_management', 'create_item.dead-letter', 'no-such-queue', 'AMQ.GEN-X'])(
      '%s gets no reply, and the query is dead-lettered',
      async (address) => {
        await raw.publish('order_processing', json([]), {
          replyTo: Buffer.from(address),
          correlationId: Buffer.from('c'),
        })
        // amq.rabbitmq.reply-to is not in the list, because the broker itself rewrites or refuses it.
        await expectDeadLetter('order_processing', 'invalid', /^replyTo: /)
        expect(await stack.deadLetters('create_item')).toEqual([])
        expect(await stack.depth('create_item.dead-letter')).toBe(0)
      },
    )

    it('that is a queue with a server-generated name gets the reply', async () => {
      const { queue } = await stack.channel.assertQueue('', { exclusive: true })
      stack.channel.sendToQueue('order_processing', json([]), { replyTo: queue, correlationId: 'c' })
      await eventually(async () => {
        const reply = await stack.channel.get(queue, { noAck: true })
        expect(reply === false ? undefined : reply.content.toString()).toBe('[]')
      })
    })

    it('that is not for replies does not prevent a command from being applied, and gets no reply', async () => {
      await raw.publish('create_item', json(GOOD), { replyTo: Buffer.from('stock_management') })
      await eventually(async () => expect(await stack.skus()).toEqual(['HOSTILE']))
      await call(`${stack.http}/stock_management`, { json: { sku: 'HOSTILE' }, headers: { Prefer: 'wait=30' } })
      expect(await stack.deadLetters('stock_management')).toEqual([])
    })
  })

  it('with the header CC do not route our dead letter to a queue that the sender chose', async () => {
    await stack.channel.assertQueue('chosen')
    await raw.publish('create_item', Buffer.from('bad'), {
      headers: field('CC', 'A', sized(Buffer.concat([Buffer.from('S'), sized('chosen')]))),
    })
    expect((await expectDeadLetter('create_item', 'not-json', /./))?.headers['x-dropped']).toBe('header CC')
    // CC routes the sender's own message to this queue, but not our dead letter.
    expect(await stack.depth('chosen')).toBe(1)
    await stack.channel.deleteQueue('chosen')
  })

  it('leave every consumer ready and connected, with empty queues and no unacknowledged message', async () => {
    await stack.ready()
    await call(`${stack.http}/create_item`, { json: item(1), headers: { Prefer: 'wait=30' } })
    expect((await call(`${stack.http}/order_processing`)).body).toEqual([item(1)])
    for (const name of serviceNames.filter((each) => each !== 'producer')) {
      const reopened = stack.service(name).log.filter(({ message }) => /lost|reconnect/.test(String(message)))
      expect([name, reopened]).toEqual([name, []])
      stack.service(name).kill('SIGTERM')
      expect(await stack.service(name).exited).toBe(0)
    }
    // After the consumers have exited, the broker has requeued any unacknowledged message.
    for (const queue of QUEUES) expect([queue, await stack.depth(queue)]).toEqual([queue, 0])
  })
})
