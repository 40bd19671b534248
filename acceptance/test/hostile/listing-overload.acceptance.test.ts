// Many concurrent listings: the processes stay below their memory limit, and the other clients still get responses.
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { call } from '../http.ts'
import { type Stack, startStack } from '../stack.ts'

const ITEMS = 100_000
const RESIDENT_MAX_MB = 256
/** About the limit that V8 chooses in a small container. With a higher limit, it collects garbage later. */
const HEAP = '--max-old-space-size=192'

describe('listings under overload', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('listing_overload', {
      services: ['consumer_four', 'producer'],
      env: { WAIT_FOR_CONSUMERS: 'false', NODE_OPTIONS: HEAP },
    })
    const name = 'x'.repeat(100)
    for (let from = 0; from < ITEMS; from += 5_000) {
      const rows = Array.from({ length: 5_000 }, (_, n) => [
        `SKU-${from + n}`,
        name,
        `label-${(from + n) % 100}`,
        1.5,
        n,
      ])
      await stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    }
  })
  afterAll(async () => await stack.stop())

  const watching = async (work: () => Promise<void>): Promise<Record<string, number>> => {
    const peakMb: Record<string, number> = {}
    const sampling = setInterval(async () => {
      for (const name of ['producer', 'consumer_four'] as const)
        peakMb[name] = Math.max(peakMb[name] ?? 0, await residentMb(stack.service(name).pid))
    }, 20)
    try {
      await work()
    } finally {
      clearInterval(sampling)
    }
    return peakMb
  }
  const belowTheLimit = (peakMb: Record<string, number>) => {
    for (const [name, mb] of Object.entries(peakMb))
      expect({ name, mb: mb > RESIDENT_MAX_MB ? mb : 0 }).toEqual({ name, mb: 0 })
  }
  const metric = async (name: string) => {
    const text = await (await fetch(`${stack.service('consumer_four').admin}/metrics`)).text()
    return Number(new RegExp(`^ims_${name}\\{.*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
  }

  it('keep the producer and consumer four below 256 MB when 400 clients request different pages of 1 MB at once', async () => {
    const peakMb = await watching(async () => {
      const statuses = await Promise.all(
        Array.from({ length: 400 }, async (_, n) => {
          const response = await fetch(`${stack.http}/order_processing?limit=${5_000 - (n % 100)}&after=${n}`)
          await response.arrayBuffer()
          return response.status
        }),
      )
      expect([...new Set(statuses)].filter((status) => status !== 200 && status !== 503)).toEqual([])
      expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(90)
    })
    belowTheLimit(peakMb)
  })

  it('keep consumer four below 256 MB when it replies to 400 queued requests for pages of 1 MB', async () => {
    const { queue } = await stack.channel.assertQueue('', { exclusive: true })
    const count = counter()
    await stack.channel.consume(queue, () => count.up(), { noAck: true })
    const peakMb = await watching(async () => {
      for (let n = 0; n < 400; n += 1)
        stack.channel.sendToQueue('order_processing', Buffer.from('[]'), {
          replyTo: queue,
          correlationId: String(n),
          headers: { 'x-limit': 5_000, 'x-after': n },
        })
      await eventually(() => expect(count.value).toBe(400), 120_000)
    })
    belowTheLimit(peakMb)
  })

  it('keep consumer four below 256 MB with 80 queries for the whole list without a reply address, and 10 with one', async () => {
    const { queue } = await stack.channel.assertQueue('', { exclusive: true })
    const count = counter()
    await stack.channel.consume(queue, () => count.up(), { noAck: true })
    const peakMb = await watching(async () => {
      for (let n = 0; n < 80; n += 1)
        stack.channel.sendToQueue('order_processing', Buffer.from('[]'), { headers: { 'x-after': n } })
      for (let n = 0; n < 10; n += 1)
        stack.channel.sendToQueue('order_processing', Buffer.from('[]'), {
          replyTo: queue,
          headers: { 'x-after': 50_000 + n },
        })
      await eventually(() => expect(count.value).toBe(10), 120_000)
    })
    belowTheLimit(peakMb)
    expect(await stack.deadLetters('order_processing')).toEqual([])
  })

  it('are served while consumer four, below 256 MB, replies to 50 queued queries for whole lists', async () => {
    const { queue } = await stack.channel.assertQueue('', { exclusive: true })
    const count = counter()
    await stack.channel.consume(queue, () => count.up(), { noAck: true })
    const peakMb = await watching(async () => {
      const after = (n: number) => ({ replyTo: queue, headers: { 'x-after': 20_000 + n } })
      for (let n = 0; n < 50; n += 1) stack.channel.sendToQueue('order_processing', Buffer.from('[]'), after(n))
      await eventually(() => expect(count.value).toBeGreaterThan(0))
      for (let n = 0; n < 10; n += 1)
        expect((await call(`${stack.http}/order_processing?limit=${1 + n}`)).status).toBe(200)
      expect(count.value).toBeLessThan(50)
      await eventually(() => expect(count.value).toBe(50), 120_000)
    })
    belowTheLimit(peakMb)
  })

  it('of other clients succeed after a client has pipelined 1,000 listings and disconnected', async () => {
    const port = Number(new URL(stack.http).port)
    const before = await metric('messages_consumed_total')
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    const requests = Array.from(
      { length: 1_000 },
      (_, n) => `GET /order_processing?limit=1&label=zz${n} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    )
    await new Promise((resolve) => socket.write(requests.join(''), resolve))
    socket.destroy()
    for (let n = 0; n < 20; n += 1) {
      const { status, body } = await call(`${stack.http}/order_processing?limit=1&label=label-${n}`)
      expect({ status, items: Array.isArray(body) ? body.length : body }).toEqual({ status: 200, items: 1 })
    }
    await eventually(async () => expect(await stack.depth('order_processing')).toBe(0))
    expect((await metric('messages_consumed_total')) - before).toBeLessThan(1_100)
    await eventually(async () => expect(await stack.service('consumer_four').notReady()).toBeUndefined())
  })

  it('all get a reply when 1,000 queries for unknown labels and one normal listing are sent at once', async () => {
    const { queue } = await stack.channel.assertQueue('', { exclusive: true })
    const count = counter()
    await stack.channel.consume(queue, () => count.up(), { noAck: true })
    for (let n = 0; n < 1_000; n += 1)
      stack.channel.sendToQueue('order_processing', Buffer.from('[]'), {
        replyTo: queue,
        expiration: '30000',
        headers: { 'x-limit': 1, 'x-label': `zz${n}` },
      })
    const { status } = await call(`${stack.http}/order_processing?limit=1`)
    expect(status).toBe(200)
    await eventually(() => expect(count.value).toBe(1_000))
  })
})

function counter() {
  const count = {
    value: 0,
    up: () => {
      count.value += 1
    },
  }
  return count
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}
