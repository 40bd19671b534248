// Runs the suite on a Galera cluster of three nodes, with replicas on different nodes, while a node is killed and restarted.
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { eventually, type Galera, type GaleraNode, serversUnderTest, startGalera, withoutGalera } from 'testkit'
import { installAudit, readAudit } from '../../faults/audit.ts'
import { call, item } from '../http.ts'
import { loadOn } from '../load.ts'
import { type ServiceName, type ServiceProcess, type Stack, startStackOn } from '../stack.ts'

const MINUTE_MS = 60_000
const REPLICATED: readonly ServiceName[] = ['consumer_two', 'consumer_three', 'consumer_four']
/** OLD items are created before the fault and deleted during it. NEW items are created during it. */
const [OLD, NEW] = [400, 3_000]
const TABLES = ['inventory', 'inbox', 'effect'] as const

const missing = withoutGalera()
const run = missing === undefined ? describe : describe.skip

run(`the suite on a Galera cluster${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  const directory = join(tmpdir(), `ims-galera-${process.pid}`)
  // Created in a hook. When all tests are skipped, no hook runs, so `afterAll` would not delete a directory created here.
  beforeAll(() => void mkdirSync(directory, { mode: 0o700 }))
  let galera: Galera
  let stack: Stack
  const replicas: ServiceProcess[] = []

  beforeAll(async () => {
    galera = await startGalera(directory)
    const { servers, space } = await serversUnderTest('galera')
    const [first] = galera.nodes
    stack = await startStackOn(servers, { ...space, mysql: first }, { services: [], env: IMPATIENT })
    await installAudit(first, first.database)
    for (const name of REPLICATED)
      for (const node of galera.nodes) replicas.push(await stack.start(name, databaseAt(node)))
    for (const name of ['consumer_one', 'producer'] as const) replicas.push(await stack.start(name))
    await allReady()
  }, 4 * MINUTE_MS)
  afterAll(async () => {
    await stack?.stop()
    await galera?.end()
    rmSync(directory, { recursive: true })
  }, 2 * MINUTE_MS)

  const allReady = async () =>
    await eventually(async () => {
      for (const each of replicas) expect(await each.notReady()).toBeUndefined()
    }, 3 * MINUTE_MS)
  const send = (queue: string, messageId: string, body: unknown) =>
    stack.channel.sendToQueue(queue, Buffer.from(JSON.stringify(body)), { persistent: true, messageId })
  const create = (n: number, messageId = `create-${n}`, name = `Item ${n}`) =>
    send('create_item', messageId, { ...item(n), name })
  const remove = (n: number) => send('stock_management', `delete-${n}`, { sku: item(n).sku })

  it(
    'deletes an item immediately after it was created, although the replicas use different nodes',
    async () => {
      const clients = loadOn(stack.http, 300_000, 2)
      for (let n = 0; n < 30; n += 1) {
        expect(await waited('create_item', item(n))).toBe(201)
        expect(await waited('stock_management', { sku: item(n).sku })).toBe(200)
      }
      await clients.stop()
      await settled(clients.accepted.length)
      await stack.pool.query('DELETE FROM inventory')
      await stack.pool.query('DELETE FROM effect')
    },
    3 * MINUTE_MS,
  )

  it(
    'loses nothing, applies nothing twice, and keeps the nodes identical when one is killed and restarted under load',
    async () => {
      const [first, second, third] = galera.nodes
      await allReady()
      for (let n = 0; n < OLD; n += 1) create(n)
      await stack.channel.waitForConfirms()
      for (const node of galera.nodes)
        await eventually(async () => expect(await count(node, 'inventory')).toBe(OLD), MINUTE_MS)

      const clients = loadOn(stack.http, 100_000, 4)
      const publishing = (async () => {
        for (let n = 0; n < NEW; n += 1) {
          create(OLD + n)
          // Sends every tenth message twice, so that two replicas on different nodes probably process it at the same time.
          if (n % 10 === 0) create(OLD + n)
          if (n < OLD) remove(n)
          if (n < OLD && n % 4 === 0) remove(n)
          if (n % 20 === 0) await pauseMs(40)
        }
        await stack.channel.waitForConfirms()
      })()
      await pauseMs(1_000)
      await second.kill()
      await eventually(
        async () => expect(await first.sql("SHOW STATUS LIKE 'wsrep_cluster_size'")).toMatch(/2$/m),
        3 * MINUTE_MS,
      )
      await second.start()
      await publishing
      await clients.stop()
      expect(clients.accepted.length).toBeGreaterThan(0)
      await settled(NEW + clients.accepted.length)
      await allReady()

      // The deleted items are created again, then every earlier message is sent again, as after a failover of the broker.
      for (let n = 0; n < OLD; n += 1) create(n, `again-${n}`, `Again ${n}`)
      await settled(NEW + clients.accepted.length + OLD)
      const repeatsBefore = await repeats()
      for (let n = 0; n < OLD; n += 1) remove(n)
      for (let n = 0; n < OLD + NEW; n += 1) create(n)
      await stack.channel.waitForConfirms()
      await eventually(
        async () => expect((await repeats()) - repeatsBefore).toBeGreaterThanOrEqual(OLD + OLD + NEW),
        3 * MINUTE_MS,
      )
      await settled(NEW + clients.accepted.length + OLD)

      const skus = new Set([...numbers(0, OLD + NEW).map((n) => item(n).sku), ...clients.accepted])
      const { inserts, deletes, table } = await readAudit(stack.pool)
      expect(new Set(table.keys())).toEqual(skus)
      expect([...inserts.values()].filter((times) => times !== 1)).toEqual([])
      expect(inserts.size).toBe(OLD + NEW + clients.accepted.length + OLD)
      expect(deletes).toEqual(new Map(numbers(0, OLD).map((n) => [item(n).sku, 1])))
      for (const queue of ['create_item', 'stock_management']) expect(await stack.deadLetters(queue)).toEqual([])
      for (const table of TABLES) expect(await contents(second, table)).toEqual(await contents(first, table))
      for (const table of TABLES) expect(await contents(third, table)).toEqual(await contents(first, table))
    },
    5 * MINUTE_MS,
  )

  it('returns the complete listing in each of six requests', async () => {
    const rows = await count(galera.nodes[0], 'inventory')
    for (let each = 0; each < 6; each += 1) {
      const { status, body } = await call(`${stack.http}/order_processing`)
      expect({ status, items: Array.isArray(body) ? body.length : body }).toEqual({ status: 200, items: rows })
    }
  })

  it(
    'uses another node when a replica with several nodes in MYSQL_HOST loses its node',
    async () => {
      const replaced = replicas.filter(({ name }) => name === 'consumer_two' || name === 'consumer_three')
      for (const each of replaced) each.kill('SIGTERM')
      await Promise.all(replaced.map(({ exited }) => exited))
      const two = await stack.start('consumer_two', databaseAt(...galera.nodes))
      await stack.start('consumer_three', databaseAt(...galera.nodes))
      await stack.ready('consumer_two', 'consumer_three')
      const address = two.log.findLast(({ message }) => message === 'connected to MySQL')?.server
      const inUse = galera.nodes.find(({ port }) => address === `127.0.0.1:${port}`)
      if (inUse === undefined) throw new Error(`consumer two uses ${address}, which is not a node`)
      await inUse.kill()
      expect(await waited('create_item', item(200_000))).toBe(201)
      expect(await waited('stock_management', { sku: item(200_000).sku })).toBe(200)
    },
    2 * MINUTE_MS,
  )

  /** Sends `body`, waits for the outcome, and returns the status of the response. */
  async function waited(path: string, body: unknown): Promise<number> {
    const { status } = await call(`${stack.http}/${path}`, { json: body, headers: { Prefer: 'wait=30' } })
    return status
  }

  /** Waits until each node has `rows` items and the queues are empty. */
  async function settled(rows: number): Promise<void> {
    for (const node of galera.nodes)
      await eventually(async () => expect(await count(node, 'inventory')).toBe(rows), 2 * MINUTE_MS)
    for (const queue of ['create_item', 'stock_management'])
      await eventually(async () => expect(await stack.depth(queue)).toBe(0), MINUTE_MS)
  }

  /** The number of messages that the replicas recognised as already applied. */
  async function repeats(): Promise<number> {
    const texts = await Promise.all(replicas.map(async ({ admin }) => await (await fetch(`${admin}/metrics`)).text()))
    return texts
      .flatMap((text) => [...text.matchAll(/^ims_messages_duplicates_total\S* (\d+)/gm)])
      .reduce((sum, [, value]) => sum + Number(value), 0)
  }
})

/** Short retry intervals, because a node is down for only a few seconds. */
const IMPATIENT = { CONSUMER_RETRY_MOST_MS: '1000', MYSQL_RETRY_MOST_MS: '1000', RABBITMQ_RECONNECT_MOST_MS: '1000' }

const databaseAt = (...nodes: readonly GaleraNode[]) => ({
  MYSQL_HOST: nodes.map(({ host, port }) => `${host}:${port}`).join(),
})

const count = async (node: GaleraNode, table: string) =>
  Number(await node.sql(`SELECT COUNT(*) FROM ${node.database}.${table}`))

/** The number of rows and a hash of them, because a diff of thousands of rows would be unreadable. */
async function contents(node: GaleraNode, table: string): Promise<{ rows: number; sha256: string }> {
  const rows = (await node.sql(`SELECT * FROM ${node.database}.${table}`)).split('\n').toSorted()
  return { rows: rows.length, sha256: createHash('sha256').update(rows.join('\n')).digest('hex') }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)
const pauseMs = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
