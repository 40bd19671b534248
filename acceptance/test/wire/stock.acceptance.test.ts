// Stock under load: thousands of changes of one item, many of them sent twice, while one of two replicas of consumer three
// is killed. Each change is applied once.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, runToEnd } from 'testkit'
import { z } from 'zod'
import { call } from '../http.ts'
import { type DeadLetter, ROOT, type Stack, startStack } from '../stack.ts'

const CHANGES = 3_000
const STOCK = 1_000
const sku = 'HOT'
const counted = z.tuple([z.object({ found: z.coerce.number() })])

describe('changes of one hot item', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('stock')
    await stack.start('consumer_three#2')
    await stack.ready('consumer_three', 'consumer_three#2', 'producer')
  })
  afterAll(async () => await stack.stop())

  const count = async (table: string) =>
    counted.parse((await stack.pool.query(`SELECT COUNT(*) AS found FROM ${table}`))[0])[0].found
  const waiting = { headers: { Prefer: 'wait=20' } }

  it('are applied once each while there is stock, and rejected with a reason afterwards', async () => {
    const item = { sku, name: 'n', label: 'l', price: 1, quantity: STOCK }
    expect((await call(`${stack.http}/create_item`, { json: item, ...waiting })).status).toBe(201)
    const send = (messageId: string) =>
      stack.channel.sendToQueue('stock_adjustment', Buffer.from(JSON.stringify({ sku, change: -1, reason: 'sold' })), {
        persistent: true,
        contentType: 'application/json',
        messageId,
      })
    for (let n = 0; n < CHANGES; n += 1) {
      const messageId = randomUUID()
      send(messageId)
      // Sends every fifth message twice in a row, so that both replicas may get it.
      if (n % 5 === 0) send(messageId)
      if (n === CHANGES / 2) stack.service('consumer_three').kill('SIGKILL')
    }
    await stack.channel.waitForConfirms()
    await stack.start('consumer_three')
    await eventually(async () => {
      expect(await stack.depth('stock_adjustment')).toBe(0)
      expect(await count("inbox WHERE queue = 'stock_adjustment'")).toBe(CHANGES)
    })
    expect(await count('movement')).toBe(STOCK)
    expect((await call(`${stack.http}/order_processing?sku=${sku}`)).body).toEqual([{ ...item, quantity: 0 }])
    const letters: DeadLetter[] = []
    // A dead letter is published after its verdict is recorded.
    await eventually(async () => {
      letters.push(...(await stack.deadLetters('stock_adjustment')))
      expect(new Set(letters.map(({ messageId }) => messageId)).size).toBe(CHANGES - STOCK)
    })
    expect(new Set(letters.map(({ headers }) => headers['x-reason']))).toEqual(new Set(['insufficient-stock']))
  })

  it('are reported to a waiting client, and can be looked up by message and by item', async () => {
    const more = {
      json: { sku, change: 5, reason: 'delivered' },
      headers: { ...waiting.headers, 'X-Request-Id': 'r-5' },
    }
    const added = await call(`${stack.http}/stock_adjustment`, more)
    expect([added.status, added.body]).toEqual([201, { message: 'Stock adjusted', sku, quantity: 5 }])
    const tooMany = await call(`${stack.http}/stock_adjustment`, {
      json: { sku, change: -6, reason: 'sold' },
      ...waiting,
    })
    expect([tooMany.status, tooMany.body]).toMatchObject([409, { type: 'urn:ims:problem:insufficient-stock' }])
    const status = async (id: unknown) => (await call(`${stack.http}/messages/${id}`)).body
    expect(await status(added.headers.get('message-id'))).toMatchObject({ state: 'applied', outcome: 'adjusted' })
    expect(await status(tooMany.headers.get('message-id'))).toMatchObject({
      state: 'refused',
      reason: 'insufficient-stock',
    })
    expect(await status('nobody')).toMatchObject({ state: 'unknown' })
    const last = (await call(`${stack.http}/movements?sku=${sku}&after=${STOCK}`)).body
    expect(last).toMatchObject([{ change: 5, quantityBefore: 0, quantityAfter: 5, requestId: 'r-5', by: null }])
  })

  it('are processed again after a redrive, and the redrive and the status of a message report the outcomes', async () => {
    const run = async (program: string, ...args: string[]) => {
      const command = [process.execPath, `${ROOT}producer/src/${program}.ts`, ...args] as const
      const { code, out } = await runToEnd({ command, env: { PATH: process.env.PATH, ...stack.env } })
      return { code, out }
    }
    const ids = async (where: string) => {
      const sql = `SELECT CONVERT(message_id USING utf8mb4) AS id FROM inbox WHERE ${where}`
      return z
        .array(z.object({ id: z.string() }))
        .parse((await stack.pool.query(sql))[0])
        .map(({ id }) => id)
    }
    const adjust = (change: number, request: object = {}) =>
      call(`${stack.http}/stock_adjustment`, { json: { sku, change, reason: 'sold' }, ...request })
    // The stock is 5.
    for (let n = 0; n < 12; n += 1) expect((await adjust(-6)).status).toBe(200)
    await eventually(async () => expect(await stack.depth('stock_adjustment.dead-letter')).toBe(12))
    expect((await adjust(30, waiting)).status).toBe(201)
    const redriven = await run('dead-letters', 'redrive', 'stock_adjustment', '--all')
    expect(redriven.code).toBe(1)
    expect(redriven.out).toContain(
      'stock_adjustment: outcomes of 12 redriven: 5 applied, 7 dead-lettered again (insufficient-stock 7)\n',
    )
    const [applied = '', ...others] = await ids("queue = 'stock_adjustment#1' AND error IS NULL")
    const [refused = '', ...more] = await ids("queue = 'stock_adjustment#1' AND error IS NOT NULL")
    expect([others.length, more.length]).toEqual([4, 6])
    const line = await run('message', applied)
    expect([line.code, line.out]).toEqual([
      0,
      expect.stringMatching(/: applied\n.* sent .*\n.*insufficient-stock.*\n +redriven from/),
    ])
    expect(await run('message', refused)).toMatchObject({ code: 2 })
    const { body } = await call(`${stack.http}/messages/${refused}`)
    expect(body).toMatchObject({ state: 'refused', possible: ['dead-letter', 'redriven', 'discarded'] })
    expect(body).toMatchObject({ history: [{ redrives: 0, redrivenBefore: expect.any(String) }, { redrives: 1 }] })
    expect(await run('message', randomUUID())).toMatchObject({ code: 3 })
  })
})
