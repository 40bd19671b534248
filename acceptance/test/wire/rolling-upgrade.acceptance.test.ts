// Rolling upgrade: processes of the previous version and the statements of the Python suite keep working during and after
// the current migration.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { RowDataPacket } from 'mysql2/promise'
import { eventually } from 'testkit'
import { call, item } from '../http.ts'
import { migrate, ROOT, type ServiceName, type Stack, startStack } from '../stack.ts'
import { earlierVersion, type Sources, sourcesOf } from './earlier-version.ts'

const CLIENTS = 6
const CONSUMERS: readonly ServiceName[] = ['consumer_two', 'consumer_three', 'consumer_four']
const QUEUES = ['create_item', 'stock_management', 'order_processing']
/** Rounds that the clients must complete before the next phase starts, so that each phase has load. */
const ROUNDS_MIN = 60
const WAIT = { Prefer: 'wait=60' }

const earlier = earlierVersion()
const why = 'missing' in earlier ? earlier.missing : undefined

/** Starts clients that create, list and delete items from number `from` on, and record the stored skus. Each stops at the first wrong response. */
function startClients(stack: Stack, from = 0) {
  const stored = new Set<string>()
  let on = true
  let next = from
  let rounds = 0
  const client = async () => {
    while (on) {
      const n = next
      next += 1
      const { sku } = item(n)
      const post = (path: string, json: object) => call(`${stack.http}/${path}`, { json, headers: WAIT })
      expect(await post('create_item', item(n))).toMatchObject({ status: 201 })
      stored.add(sku)
      expect(await call(`${stack.http}/order_processing?sku=${sku}`)).toMatchObject({ status: 200, body: [{ sku }] })
      if (n % 2 === 0) {
        expect(await post('stock_management', { sku })).toMatchObject({ status: 200 })
        stored.delete(sku)
      }
      rounds += 1
    }
  }
  const done = Promise.all(Array.from({ length: CLIENTS }, client))
  done.catch(() => {})
  return {
    stored,
    more: async () => {
      const until = rounds + ROUNDS_MIN
      while (rounds < until) await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 50))])
    },
    stop: async () => {
      on = false
      await done
    },
  }
}

/** Runs the Python suite's statements in a loop. */
function startPeer({ pool }: Stack) {
  const stored = new Set<string>()
  let on = true
  const work = async () => {
    for (let n = 0; on; n += 1) {
      const sku = `peer-${n}`
      await pool.query('INSERT INTO inventory (sku, name, label, price, quantity) VALUES (?, ?, ?, ?, ?)', [
        sku,
        'Peer',
        'x',
        19.99,
        n,
      ])
      const [[row]] = await pool.query<RowDataPacket[]>(
        'SELECT id, sku, name, label, price, quantity FROM inventory WHERE sku = ?',
        [sku],
      )
      expect({ ...row, price: Number(row?.price) }).toMatchObject({ sku, price: 19.99, quantity: n })
      if (n % 2 === 0) await pool.query('DELETE FROM inventory WHERE sku = ?', [sku])
      else stored.add(sku)
    }
  }
  const done = work()
  done.catch(() => {})
  return {
    stored,
    stop: async () => {
      on = false
      await done
    },
  }
}

const run = why === undefined ? describe : describe.skip

run(`a rolling upgrade from the version before the last schema change${why ? ` (skipped: ${why})` : ''}`, () => {
  let old: Sources
  let stack: Stack
  beforeAll(async () => {
    old = sourcesOf('commit' in earlier ? earlier.commit : '')
    stack = await startStack('rolling_upgrade', { root: old.root })
  })
  afterAll(async () => {
    await stack?.stop()
    old?.remove()
  })

  it('loses no item, dead-letters nothing and serves every request before, during and after the migration', async () => {
    const olds = CONSUMERS.map((name) => stack.service(name))
    const clients = startClients(stack)
    const peer = startPeer(stack)
    await clients.more()
    await migrate(stack.env, ROOT)
    await clients.more()
    for (const name of CONSUMERS) await stack.start(name, {}, ROOT)
    await stack.ready(...CONSUMERS)
    await clients.more()
    for (const each of olds) each.kill('SIGTERM')
    expect(await Promise.all(olds.map(({ exited }) => exited))).toEqual(olds.map(() => 0))
    await clients.more()
    await Promise.all([clients.stop(), peer.stop()])
    for (const queue of QUEUES) {
      await eventually(async () => expect(await stack.depth(queue)).toBe(0))
      expect(await stack.deadLetters(queue)).toEqual([])
    }
    expect(new Set(await stack.skus())).toEqual(new Set([...clients.stored, ...peer.stored]))
  })

  it('keeps working while an operator widens the id column, and with ids beyond the range of INT', async () => {
    const clients = startClients(stack, 1_000_000)
    await clients.more()
    await stack.pool.query('ALTER TABLE inventory MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT')
    await clients.more()
    await clients.stop()
    await stack.pool.query(`ALTER TABLE inventory AUTO_INCREMENT = ${2 ** 40}`)
    const beyond = await Promise.all(
      [1, 2, 3].map(async (n) => {
        const json = { ...item(n), sku: `beyond-${n}`, label: 'beyond' }
        expect(await call(`${stack.http}/create_item`, { json, headers: WAIT })).toMatchObject({ status: 201 })
        return json.sku
      }),
    )
    const listed: unknown[] = []
    let url: string | undefined = '/order_processing?label=beyond&limit=1'
    while (url !== undefined) {
      const { body, headers } = await call(stack.http + url)
      listed.push(body)
      url = /<(.*)>/.exec(headers.get('link') ?? '')?.[1]
    }
    expect(listed.flat().length).toBe(3)
    for (const sku of beyond)
      expect(await call(`${stack.http}/stock_management`, { json: { sku }, headers: WAIT })).toMatchObject({
        status: 200,
      })
    for (const queue of QUEUES) expect(await stack.deadLetters(queue)).toEqual([])
  })
})
