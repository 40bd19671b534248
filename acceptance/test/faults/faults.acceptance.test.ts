// No accepted message is lost or applied twice while servers stop, processes are killed and connections are closed.
import { deadLetterDesk, rabbitmqEnvironment } from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, serversEnvironment } from 'testkit'
import { call, item } from '../http.ts'
import { type Load, loadOn } from '../load.ts'
import { type Stack, startStack } from '../stack.ts'

const MINUTE_MS = 60_000

describe('the suite under faults', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('faults', {
      env: { RABBITMQ_RECONNECT_MOST_MS: '1000', CONSUMER_RETRY_MOST_MS: '1000', RPC_TIMEOUT_MS: '5000' },
    })
  }, 3 * MINUTE_MS)
  afterAll(async () => await stack.stop())
  afterEach(async () => {
    // A failed test leaves its load running, which would disturb the next tests.
    await Promise.all(loads.splice(0).map(({ stop }) => stop()))
    await stack.ready()
    await eventually(async () => expect(await stack.depth('create_item')).toBe(0))
    await stack.pool.query('DELETE FROM inventory')
  }, 3 * MINUTE_MS)

  const loads: Load[] = []
  const load = (from: number, clients = 8): Load => {
    const started = loadOn(stack.http, from, clients)
    loads.push(started)
    return started
  }

  /** Checks that every accepted item is a row (exactly one, because sku is unique), and that no create was dead-lettered. */
  const allApplied = async (accepted: readonly string[], withinMs = 30_000) => {
    expect(accepted.length).toBeGreaterThan(0)
    await eventually(async () => {
      const rows = new Set(await stack.skus())
      expect(accepted.filter((sku) => !rows.has(sku))).toEqual([])
    }, withinMs)
    expect(await stack.deadLetters('create_item')).toEqual([])
  }

  it.each([
    ['one row', ['held-7']],
    ['the first row', ['held-0']],
    ['the first five rows', ['held-0', 'held-1', 'held-2', 'held-3', 'held-4']],
  ])(
    'deletes the other items of a batch while another transaction locks %s, and the locked ones afterwards',
    async (_, held) => {
      const skus = Array.from({ length: 20 }, (_, n) => `held-${n}`)
      await stack.pool.query('INSERT INTO inventory (sku) VALUES ?', [skus.map((sku) => [sku])])
      const holder = await stack.pool.getConnection()
      try {
        await holder.query('START TRANSACTION')
        await holder.query(`SELECT id FROM inventory WHERE sku IN ('${held.join("','")}') FOR UPDATE`)
        for (const sku of skus) await call(`${stack.http}/stock_management`, { json: { sku } })
        await eventually(async () => expect(await stack.skus()).toEqual(held), MINUTE_MS)
      } finally {
        await holder.query('ROLLBACK')
        holder.release()
      }
      await eventually(async () => expect(await stack.skus()).toEqual([]), MINUTE_MS)
      expect(await stack.deadLetters('stock_management')).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it(
    'returns 503 while the broker is stopped, and loses no accepted item',
    async () => {
      const { accepted, statuses, stop } = load(10_000)
      await pauseMs(1_000)
      await stack.servers.rabbitmq.stop()
      await eventually(async () => {
        const refused = await call(`${stack.http}/create_item`, { json: item(1) })
        expect(refused).toMatchObject({ status: 503 })
        expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
      })
      const { host, port } = stack.space.rabbitmq
      await eventually(async () => expect(await stack.service('producer').notReady()).toContain(`${host}:${port}`))
      await stack.servers.rabbitmq.start()
      await stack.ready()
      await pauseMs(1_000)
      await stop()
      await allApplied(accepted)
      expect([...statuses.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it(
    'loses no accepted item when the broker is killed',
    async () => {
      const { accepted, stop } = load(20_000)
      await pauseMs(1_000)
      await stack.servers.rabbitmq.kill()
      await pauseMs(500)
      await stack.servers.rabbitmq.start()
      await stack.ready()
      await stop()
      await allApplied(accepted)
    },
    3 * MINUTE_MS,
  )

  it(
    'loses no accepted item when an operator closes all connections five times',
    async () => {
      const { accepted, stop } = load(30_000)
      for (let round = 0; round < 5; round += 1) {
        await pauseMs(500)
        await stack.servers.rabbitmq.ctl('close_all_connections', '--vhost', stack.space.rabbitmq.vhost, 'fault test')
      }
      await stack.ready()
      await stop()
      await allApplied(accepted)
    },
    2 * MINUTE_MS,
  )

  it(
    'keeps consumer two alive but not ready while MySQL is down for 30 seconds, and applies every accepted item afterwards',
    async () => {
      const { accepted, stop } = load(40_000)
      await pauseMs(500)
      await stack.servers.mysql.stop()
      const stoppedAt = Date.now()
      try {
        await eventually(async () => expect(await stack.service('consumer_two').notReady()).toBeDefined())
        const live = await fetch(`${stack.service('consumer_two').admin}/livez`)
        expect(live.status).toBe(200)
        const listing = await call(`${stack.http}/order_processing`)
        expect(listing.status).toBe(504)
        await stop()
        await pauseMs(30_000 - (Date.now() - stoppedAt))
      } finally {
        await stop()
        await stack.servers.mysql.start()
      }
      await stack.ready()
      await allApplied(accepted, 60_000)
    },
    3 * MINUTE_MS,
  )

  it(
    'loses no message and dead-letters none when consumer two is killed three times during 5,000 messages',
    async () => {
      for (let n = 0; n < 5_000; n += 1)
        stack.channel.sendToQueue('create_item', Buffer.from(JSON.stringify(item(50_000 + n))), {
          persistent: true,
          messageId: `kill-${n}`,
        })
      await stack.channel.waitForConfirms()
      for (let kills = 0; kills < 3; kills += 1) {
        await pauseMs(120)
        stack.service('consumer_two').kill('SIGKILL')
        await stack.service('consumer_two').exited
        await stack.start('consumer_two')
      }
      await eventually(async () => expect(await stack.skus()).toHaveLength(5_000))
      await pauseMs(500)
      expect(await stack.deadLetters('create_item')).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it(
    'stops a consumer with exit code 0 within 20 s when it gets SIGTERM under load, and loses no accepted item',
    async () => {
      const { accepted, stop } = load(60_000)
      for (const name of ['consumer_two', 'consumer_two'] as const) {
        await pauseMs(500)
        const old = stack.service(name)
        const since = Date.now()
        old.kill('SIGTERM')
        expect(await old.exited).toBe(0)
        expect(Date.now() - since).toBeLessThan(20_000)
        await stack.start(name)
      }
      await stack.ready()
      await stop()
      await allApplied(accepted)
    },
    3 * MINUTE_MS,
  )

  it(
    'returns 200, 503 or no response when the producer gets SIGTERM under load, and loses no accepted item',
    async () => {
      const { accepted, statuses, stop } = load(65_000)
      await pauseMs(500)
      const old = stack.service('producer')
      old.kill('SIGTERM')
      expect(await old.exited).toBe(0)
      await stack.start('producer')
      await stack.ready()
      await stop()
      await allApplied(accepted)
      // 0 stands for no response, for example while no process was listening.
      expect([...statuses.keys()].filter((status) => ![200, 503, 0].includes(status))).toEqual([])
    },
    3 * MINUTE_MS,
  )

  it(
    'returns 503 with Retry-After within 10 s while the broker has a memory alarm',
    async () => {
      const { rabbitmq } = stack.servers
      await rabbitmq.ctl('set_vm_memory_high_watermark', '0.00001')
      try {
        await eventually(async () => {
          const since = Date.now()
          const refused = await call(`${stack.http}/create_item`, { json: item(70_000) })
          expect(refused.status).toBe(503)
          expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
          expect(Date.now() - since).toBeLessThan(10_000)
        })
        await eventually(async () => expect(await stack.service('producer').notReady()).toMatch(/block/))
      } finally {
        await rabbitmq.ctl('set_vm_memory_high_watermark', '0.4')
      }
      await stack.ready()
      const { accepted, stop } = load(71_000)
      await pauseMs(500)
      await stop()
      await allApplied(accepted)
    },
    3 * MINUTE_MS,
  )

  it(
    'keeps the number of dead letters when a memory alarm interrupts a redrive',
    async () => {
      const { rabbitmq } = stack.servers
      for (let number = 0; number < 551; number += 1)
        stack.channel.sendToQueue('create_item', Buffer.from('{}'), { persistent: true, messageId: `bad-${number}` })
      await eventually(async () => expect(await stack.depth('create_item.dead-letter')).toBe(551), MINUTE_MS)
      const desk = deadLetterDesk(rabbitmqEnvironment.parse(serversEnvironment(stack.space)), quietService)
      try {
        await rabbitmq.ctl('set_vm_memory_high_watermark', '0.00001')
        const outcome = await desk.redrive('create_item', { by: 'all' })
        expect(outcome).toMatchObject({ stopped: { trouble: 'unconfirmed' }, maybeSent: 0 })
      } finally {
        await rabbitmq.ctl('set_vm_memory_high_watermark', '0.4')
      }
      await stack.ready()
      // If the redrive had written messages to the socket, the broker would now read them, and they would be refused again.
      await pauseMs(5_000)
      await eventually(async () => expect(await stack.depth('create_item')).toBe(0), MINUTE_MS)
      expect(await stack.deadLetters('create_item')).toHaveLength(551)
    },
    3 * MINUTE_MS,
  )

  it(
    'consumes from a queue again after it was deleted',
    async () => {
      await stack.channel.deleteQueue('create_item')
      let next = 80_000
      await eventually(async () => {
        // Sends a new item each time. An item that is accepted before a consumer subscribes is stored later, and would be a duplicate.
        next += 1
        const { status } = await call(`${stack.http}/create_item`, { json: item(next), headers: { Prefer: 'wait=5' } })
        expect(status).toBe(201)
      })
    },
    3 * MINUTE_MS,
  )

  it('does not restore an item when its create is redelivered after the delete', async () => {
    const body = Buffer.from(JSON.stringify(item(90_000)))
    const send = () => stack.channel.sendToQueue('create_item', body, { persistent: true, messageId: 'create-90000' })
    send()
    await eventually(async () => expect(await stack.skus()).toEqual(['SKU-90000']))
    expect(
      (await call(`${stack.http}/stock_management`, { json: { sku: 'SKU-90000' }, headers: { Prefer: 'wait=30' } }))
        .status,
    ).toBe(200)
    send()
    await call(`${stack.http}/create_item`, { json: item(90_001), headers: { Prefer: 'wait=30' } })
    expect(await stack.skus()).toEqual(['SKU-90001'])
    expect(await stack.deadLetters('create_item')).toEqual([])
  })

  it(
    'loses no accepted item when one of three consumers of a queue is killed',
    async () => {
      const extra = [await stack.start('consumer_two'), await stack.start('consumer_two')]
      await stack.ready('consumer_two')
      const { accepted, stop } = load(95_000, 16)
      await pauseMs(2_000)
      extra[0]?.kill('SIGKILL')
      await pauseMs(500)
      await stop()
      await allApplied(accepted)
    },
    3 * MINUTE_MS,
  )
})

const pauseMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
