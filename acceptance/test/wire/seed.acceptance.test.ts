// The behaviour of the original suite (four calls, a row in MySQL, a line in consumer one's log), and `Prefer: wait`.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { callsToTry } from '../../../up/src/suite/banner.ts'
import { call, item, SEED_ITEM } from '../http.ts'
import { ROOT, type Stack, startStack } from '../stack.ts'

describe('the suite', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('seed')
  })
  afterAll(async () => await stack.stop())

  it('responds to the four calls of the original suite as the original did', async () => {
    const health = await call(`${stack.http}/healthcheck`)
    expect(health).toMatchObject({ status: 200, body: { message: 'Health check message sent' } })
    expect(health.headers.get('content-type')).toMatch(/^application\/json/)
    await eventually(() =>
      expect(stack.service('consumer_one').log).toContainEqual(
        expect.objectContaining({ message: 'health check received', body: ['message', 'Healthcheck'] }),
      ),
    )

    const created = await call(`${stack.http}/create_item`, { json: SEED_ITEM })
    expect(created).toMatchObject({ status: 200, body: { message: 'Create item message sent' } })
    await eventually(async () => {
      const [rows] = await stack.pool.query('SELECT sku, name, label, price + 0E0 AS price, quantity FROM inventory')
      expect(rows).toEqual([SEED_ITEM])
    })

    const listed = await call(`${stack.http}/order_processing`)
    expect(listed).toMatchObject({ status: 200, body: [SEED_ITEM] })
    expect(listed.headers.get('content-type')).toMatch(/^application\/json/)

    const deleted = await call(`${stack.http}/stock_management`, { json: { sku: SEED_ITEM.sku } })
    expect(deleted).toMatchObject({ status: 200, body: { message: 'Stock management (item delete) message sent' } })
    await eventually(async () => expect((await call(`${stack.http}/order_processing`)).body).toEqual([]))
  })

  it('responds as documented when the four calls of the README, or those that npm run up prints, are pasted at once', async () => {
    const [, block = ''] =
      /^## Use it\n\n<!--[^\n]*-->\n```sh\n(.*?)```/ms.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? []
    const pasted = async (lines: string) => (await promisify(execFile)('bash', ['-c', lines])).stdout
    const comments = block.matchAll(/^# (.*)$/gm)
    const responses = [...comments].map(([, answer]) => answer).join('')
    expect(responses).toContain('[{"sku"')
    expect(await pasted(block.replaceAll('curl ', 'curl -s ').replaceAll('http://127.0.0.1:5000', stack.http))).toBe(
      responses,
    )
    expect(await pasted(callsToTry(stack.http).join('\n'))).toBe(responses)
  })

  it('returns the outcome of a command to a client that sends Prefer: wait', async () => {
    const wait = { Prefer: 'wait=30' }
    const created = await call(`${stack.http}/create_item`, { json: item(1), headers: wait })
    expect(created).toMatchObject({ status: 201, body: item(1) })
    expect(created.headers.get('preference-applied')).toMatch(/^wait=30/)
    expect(await call(`${stack.http}/create_item`, { json: item(1), headers: wait })).toMatchObject({ status: 409 })
    // A refused command whose sender received the outcome leaves no dead letter. The next one does, because no client waits.
    expect(await call(`${stack.http}/create_item`, { json: { ...item(1), quantity: 7 } })).toMatchObject({
      status: 200,
    })
    await eventually(async () => {
      const letters = await stack.deadLetters('create_item')
      expect(letters).toMatchObject([{ headers: { 'x-reason': 'duplicate-sku', 'x-consumer': 'consumer_two' } }])
      expect(letters[0]?.body).toContain('"quantity":7')
    })
    expect(await call(`${stack.http}/stock_management`, { json: { sku: 'SKU-1' }, headers: wait })).toMatchObject({
      status: 200,
    })
    expect(await call(`${stack.http}/stock_management`, { json: { sku: 'SKU-1' }, headers: wait })).toMatchObject({
      status: 404,
    })
  })

  it('returns 202 if the wait time ends before the outcome is known', async () => {
    stack.service('consumer_two').kill('SIGSTOP')
    try {
      const accepted = await call(`${stack.http}/create_item`, { json: item(2), headers: { Prefer: 'wait=1' } })
      expect(accepted.status).toBe(202)
    } finally {
      stack.service('consumer_two').kill('SIGCONT')
    }
    await eventually(async () => expect(await stack.skus()).toContain('SKU-2'))
  })

  it('lists items in pages and with filters', async () => {
    for (const n of [10, 11, 12])
      await call(`${stack.http}/create_item`, { json: item(n), headers: { Prefer: 'wait=30' } })
    const first = await call(`${stack.http}/order_processing?label=test&limit=2`)
    expect(first.body).toHaveLength(2)
    const next = /<([^>]+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
    const second = await call(new URL(next, stack.http).href)
    expect(second.body).toEqual([item(11), item(12)])
    expect((await call(`${stack.http}/order_processing?sku=SKU-11`)).body).toEqual([item(11)])
    expect((await call(`${stack.http}/order_processing?sku=sku-11`)).body).toEqual([])
  })

  it('exposes its counters in the Prometheus text format', async () => {
    const metrics = await (await fetch(`${stack.service('consumer_two').admin}/metrics`)).text()
    expect(metrics).toMatch(
      /ims_messages_applied_total\{queue="create_item",outcome="created",service="consumer_two"\} \d+/,
    )
    expect(metrics).toMatch(
      /ims_messages_dead_lettered_total\{queue="create_item",reason="duplicate-sku",service="consumer_two"\} 1/,
    )
    expect(metrics).toMatch(
      /ims_messages_refused_told_total\{queue="create_item",reason="duplicate-sku",service="consumer_two"\} 1/,
    )
    const producer = await (await fetch(`${stack.service('producer').admin}/metrics`)).text()
    expect(producer).toMatch(/ims_messages_confirmed_total\{queue="create_item",service="producer"\} \d+/)
    expect(producer).toMatch(/ims_rpc_duration_seconds_count\{service="producer",queue="order_processing"\} \d+/)
  })
})
