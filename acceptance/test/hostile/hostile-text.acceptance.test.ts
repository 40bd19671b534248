// Tries SQL and log injection at every text input. Text is stored verbatim, and a log line stays one line of JSON.
import { serviceNames } from '@ims/accounts/suite'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { z } from 'zod'
import { call } from '../http.ts'
import { type Stack, startStack } from '../stack.ts'

const TEXTS = [
  `'; DROP TABLE inventory; --`,
  `" OR ""="`,
  `\\'; DELETE FROM inbox; #`,
  '/*!50000 DROP TABLE inventory */',
  '%_\\%?:name{{x}}',
  'a\nb\r\n{"level":"fatal","message":"forged","service":"forged"}',
  '\u001b[2J\u001b]0;title\u0007\u009b31m',
  'a\u2028b\u2029c\u0085d',
  '\u202egnp.exe\u2066',
  '{"sku":"x"}',
  '<script>alert(1)</script>',
  '$(reboot)`reboot`',
  '%00%0a%0d../../etc/passwd',
  'null',
  '👩‍👩‍👧‍👦 é é ñ',
]
const UNSAFE_IN_SKU = /\p{Cc}|^.{21,}|^\s|\s$/u
const SKUS = TEXTS.filter((text) => !UNSAFE_IN_SKU.test(text) && [...text].length <= 20)

describe('hostile text', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('hostile_text')
  })
  afterAll(async () => await stack.stop())

  const waiting = { Prefer: 'wait=30' }
  const items = TEXTS.map((text, n) => ({
    sku: SKUS[n] ?? `SKU-${n}`,
    name: text,
    label: [...text].slice(0, 50).join(''),
    price: n,
    quantity: n,
  }))

  it('is stored byte for byte as sku, name and label, over HTTP and from the queue', async () => {
    for (const [n, item] of items.entries()) {
      if (n % 2 === 0) {
        const { status } = await call(`${stack.http}/create_item`, { json: item, headers: waiting })
        expect([item.sku, status]).toEqual([item.sku, 201])
      } else
        stack.channel.sendToQueue('create_item', Buffer.from(JSON.stringify(item)), {
          messageId: item.name.slice(0, 60),
        })
      await eventually(async () => expect(await stack.skus()).toHaveLength(n + 1))
    }
    const [rows] = await stack.pool.query('SELECT sku, name, label, quantity FROM inventory ORDER BY id')
    expect(rows).toEqual(items.map(({ sku, name, label, quantity }) => ({ sku, name, label, quantity })))
    expect((await call(`${stack.http}/order_processing`)).body).toEqual(items)
  })

  it('selects only the items with the same text when used as a filter, and is rejected elsewhere in a URL', async () => {
    for (const item of items) {
      const listed = async (query: string) => (await call(`${stack.http}/order_processing?${query}`)).body
      expect(await listed(`sku=${encodeURIComponent(item.sku)}`)).toEqual([item])
      expect(await listed(`label=${encodeURIComponent(item.label)}`)).toEqual(
        items.filter(({ label }) => label === item.label),
      )
      const { status } = await call(`${stack.http}/${encodeURIComponent(item.name)}?${encodeURIComponent(item.name)}`)
      expect(status).toBe(404)
      const limit = await call(`${stack.http}/order_processing?limit=${encodeURIComponent(item.name)}`)
      expect(limit.status).toBe(400)
    }
  })

  it('is accepted in the headers of a request, and does not stop a consumer in the headers of a message', async () => {
    for (const text of TEXTS) {
      const header = text.replaceAll(/[^\x20-\x7e]/g, '')
      const { status } = await call(`${stack.http}/healthcheck`, {
        headers: { 'x-request-id': header, 'user-agent': header, prefer: header, referer: header },
      })
      expect(status).toBe(200)
      stack.channel.sendToQueue('healthcheck', Buffer.from(JSON.stringify([text])), {
        messageId: text,
        correlationId: text,
        appId: text,
        type: text,
        headers: { [text]: text },
      })
      stack.channel.sendToQueue('stock_management', Buffer.from(`{"sku": ${text}`), { messageId: text })
      stack.channel.sendToQueue('order_processing', Buffer.from('[]'), {
        replyTo: text.slice(0, 60),
        headers: { 'x-sku': text },
      })
    }
    const letters: unknown[] = []
    await eventually(async () => {
      for (const queue of ['stock_management', 'order_processing']) letters.push(...(await stack.deadLetters(queue)))
      expect(letters).toHaveLength(2 * TEXTS.length)
    })
  })

  it('deletes only one item when used as the sku of a delete', async () => {
    let rest = items.length
    for (const { sku } of items) {
      const { status } = await call(`${stack.http}/stock_management`, { json: { sku }, headers: waiting })
      rest -= 1
      expect([sku, status, (await stack.skus()).length]).toEqual([sku, 200, rest])
    }
  })

  it('is compared byte for byte when rows that Python stored are filtered or deleted', async () => {
    const odd = [
      '',
      ' ',
      'SKU-7',
      'SKU-7 ',
      'sku-7',
      ' SKU-7',
      'SKU\t7',
      'SKU-7\u0000',
      '\u0000',
      '\r\n',
      '\u007f\u0085\u2028',
    ]
    const rows = odd.map((text, n) => [text, 'n', text, n, n])
    await stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [
      [...rows, [null, 'n', null, 1, 1], [null, 'n', null, 2, 2], ['null', 'n', 'null', 3, 3]],
    ])
    const listed = async (query: string) => (await call(`${stack.http}/order_processing?${query}`)).body
    const remove = async (sku: string | null) =>
      (await call(`${stack.http}/stock_management`, { json: { sku }, headers: waiting })).status
    const all = async () => {
      const [found] = await stack.pool.query('SELECT sku FROM inventory ORDER BY id')
      return z
        .array(z.object({ sku: z.string().nullable() }))
        .parse(found)
        .map(({ sku }) => sku)
    }
    expect(await all()).toEqual([...odd, null, null, 'null'])
    for (const [n, text] of odd.entries()) {
      const row = { sku: text, name: 'n', label: text, price: n, quantity: n }
      expect(await listed(`sku=${encodeURIComponent(text)}`)).toEqual([row])
      expect(await listed(`label=${encodeURIComponent(text)}`)).toEqual([row])
    }
    for (const [n, text] of odd.entries()) {
      if (n % 2 === 0) expect([text, await remove(text)]).toEqual([text, 200])
      else stack.channel.sendToQueue('stock_management', Buffer.from(JSON.stringify({ sku: text })), {})
      await eventually(async () => expect(await all()).toEqual([...odd.slice(n + 1), null, null, 'null']))
      expect([text, await remove(text)]).toEqual([text, 404])
    }
    expect([await remove(null), await all(), await remove(null)]).toEqual([200, ['null'], 404])
    await stack.pool.query("INSERT INTO inventory (sku, name) VALUES (NULL, 'n')")
    stack.channel.sendToQueue('stock_management', Buffer.from('{"sku": null}'), {})
    await eventually(async () => expect(await all()).toEqual(['null']))
    expect([await remove('null'), await all()]).toEqual([200, []])
  })

  it('forges no log line: every line is one JSON object of the service that wrote it', async () => {
    for (const name of serviceNames) {
      const strange = stack
        .service(name)
        .log.filter((line) => line.service !== name || !['debug', 'info', 'warn', 'error'].includes(String(line.level)))
      expect([name, strange]).toEqual([name, []])
      expect(stack.service(name).log.length).toBeGreaterThan(3)
      await eventually(async () => expect(await stack.service(name).notReady()).toBeUndefined())
    }
  })
})
