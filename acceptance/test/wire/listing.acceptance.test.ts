// A long listing: 100,000 items stream through the broker and the producer in limited memory, and an interrupted response
// never looks complete.
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { call, item } from '../http.ts'
import { type Stack, startStack } from '../stack.ts'

const ITEMS = 100_000
const RESIDENT_MAX_MB = 200
/** Requests for the metrics within this time share a result. */
const METRICS_SHARED_FOR_MS = 1_000

describe('a listing of 100,000 items', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('listing', {
      services: ['consumer_one', 'consumer_two', 'consumer_three', 'consumer_four', 'producer'],
    })
    for (let from = 0; from < ITEMS; from += 5_000) {
      const rows = Array.from({ length: 5_000 }, (_, n) => Object.values(item(from + n)))
      await stack.pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES ?', [rows])
    }
  })
  afterAll(async () => await stack.stop())

  it('is valid JSON with every item once, in order, while the producer and consumer four stay below 200 MB of resident memory', async () => {
    let peakMb = 0
    const sampling = setInterval(async () => {
      for (const name of ['producer', 'consumer_four'] as const)
        peakMb = Math.max(peakMb, await residentMb(stack.service(name).pid))
    }, 20)
    try {
      for (let round = 0; round < 3; round += 1) {
        const { status, body } = await call(`${stack.http}/order_processing`)
        expect(status).toBe(200)
        if (!Array.isArray(body)) throw new Error('not an array')
        expect(body).toHaveLength(ITEMS)
        expect(body.findIndex((each, n) => each.sku !== `SKU-${n}`)).toBe(-1)
        expect(body[77_777]).toEqual(item(77_777))
      }
    } finally {
      clearInterval(sampling)
    }
    expect(peakMb).toBeGreaterThan(10)
    expect(peakMb).toBeLessThan(RESIDENT_MAX_MB)
  })

  it.each([150, 300])(
    'is returned in pages to at least 100 of %i concurrent clients, is refused to the others within 20 s, and does not block a command',
    async (clients) => {
      const paths = Array.from({ length: clients }, (_, n) => `/order_processing?limit=${5_000 - n}&after=${n}`)
      const since = performance.now()
      const pages = paths.map(async (path) => {
        const response = await fetch(`${stack.http}${path}`)
        const bytes = (await response.arrayBuffer()).byteLength
        return { path, status: response.status, bytes, ms: performance.now() - since }
      })
      const command = await call(`${stack.http}/stock_management`, { json: { sku: 'there is none' } })
      expect(command.status).toBe(200)
      const reported = await Promise.all(pages)
      const refused = reported.filter(({ status }) => status === 503)
      // A page may take up to 30 s, but a refusal must come earlier. The limit is high, because this process also reads all the other pages.
      expect(refused.filter(({ ms }) => ms > 20_000)).toEqual([])
      const answered = reported.filter(({ status, bytes }) => status === 200 && bytes > 100_000)
      expect(answered.length).toBeGreaterThanOrEqual(100)
      expect(answered.length + refused.length).toBe(clients)
      for (const queue of ['order_processing', 'stock_management']) expect(await stack.deadLetters(queue)).toEqual([])
    },
  )

  it('is cut off if consumer four is killed before the end', async () => {
    const response = await fetch(`${stack.http}/order_processing`)
    expect(response.status).toBe(200)
    const reader = response.body?.getReader()
    await reader?.read()
    stack.service('consumer_four').kill('SIGKILL')
    await expect(
      (async () => {
        for (;;) if ((await reader?.read())?.done) return
      })(),
    ).rejects.toThrow()
    await stack.start('consumer_four')
    await stack.ready()
  })

  it('stops requesting pages while the client does not read', async () => {
    const { admin } = stack.service('consumer_four')
    /** Waits until the number of requests that consumer four has handled no longer changes, and resolves with it. */
    const handled = async (before = -1): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 2 * METRICS_SHARED_FOR_MS))
      const text = await (await fetch(`${admin}/metrics`)).text()
      const now = Number(/ims_messages_consumed_total\{queue="order_processing"[^}]*\} (\d+)/.exec(text)?.[1])
      return now === before ? now : handled(now)
    }
    const before = await handled()
    const response = await fetch(`${stack.http}/order_processing`)
    expect(response.status).toBe(200)
    const whileNotRead = (await handled()) - before
    expect(await response.json()).toHaveLength(ITEMS)
    const inAll = (await handled()) - before
    // The first pages fit into the buffers of the sockets.
    expect(whileNotRead).toBeGreaterThan(0)
    expect(whileNotRead).toBeLessThan(inAll)
  })
})

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}
