// Compares every counter with the events of a run that includes batches, an outage of the database and a restart.
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { eventually, serversUnderTest, startTcpProxy, type TcpProxy } from 'testkit'
import { call, item } from '../http.ts'
import { SERVICES, type ServiceName, type Stack, startStackOn } from '../stack.ts'

const WAIT = { Prefer: 'wait=20' }
const BATCH = 200
const HELD = 40

let stack: Stack
let database: TcpProxy
beforeAll(async () => {
  const { servers, space } = await serversUnderTest('metrics')
  database = await startTcpProxy(space.mysql)
  stack = await startStackOn(servers, space, {
    // The consumer keeps retrying messages for as long as the test needs. A query without a reply times out soon.
    env: { CONSUMER_HOLD_MOST_MS: '120000', CONSUMER_RETRY_MOST_MS: '500', RPC_TIMEOUT_MS: '15000' },
    envOf: (name) =>
      name.startsWith('consumer_two') ? { MYSQL_HOST: '127.0.0.1', MYSQL_PORT: String(database.port) } : {},
  })
})
afterAll(async () => {
  await stack.stop()
  await database.close()
})

type Samples = Map<string, number>

/** A service's samples whose names match `names`, by `name{label="value",…}` without the prefix `ims_` and the label `service`. */
async function samplesOf(service: ServiceName, names: RegExp): Promise<Samples> {
  const text = await (await fetch(`${stack.service(service).admin}/metrics`)).text()
  const samples: Samples = new Map()
  for (const [, name = '', labels = '', value] of text.matchAll(/^ims_(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const shown = labels.split(/,(?=\w+=")/).filter((label) => label !== '' && !label.startsWith('service='))
    if (names.test(name)) samples.set(`${name}{${shown.sort().join()}}`, Number(value))
  }
  return samples
}

/** The counters above zero. Adds the counts of an earlier process (`before`) to those of the current one. */
async function counted(service: ServiceName, before: Samples = new Map()): Promise<Record<string, number>> {
  const now = await samplesOf(service, /_total$/)
  const names = [...new Set([...before.keys(), ...now.keys()])]
  return Object.fromEntries(
    names
      .map((name) => [name, (before.get(name) ?? 0) + (now.get(name) ?? 0)] as const)
      .filter(([, value]) => value > 0),
  )
}

it('every counter has its expected value, and a counter without one is zero', async () => {
  const answered: Record<string, number> = {}
  const ask = async (method: string, path: string, json?: unknown, headers: Record<string, string> = {}) => {
    const { status } = await call(`${stack.http}${path}`, { method, json, headers })
    const route = path === '/nothing' ? 'unmatched' : path.replace(/\?.*/, '')
    const shown = method === 'PROPFIND' ? 'other' : method
    const sample = `http_request_duration_seconds_count{method="${shown}",route="${route}",status="${status}"}`
    answered[sample] = (answered[sample] ?? 0) + 1
    return status
  }
  const create = (n: number, headers = {}) => ask('POST', '/create_item', item(n), headers)
  const remove = (n: number, headers = {}) => ask('POST', '/stock_management', { sku: item(n).sku }, headers)
  const applied = async () => (await samplesOf('consumer_two', /^messages_applied_total$/)).get(created) ?? 0
  const held = async () =>
    (await samplesOf('consumer_two', /^messages_held$/)).get('messages_held{queue="create_item"}')
  const created = 'messages_applied_total{outcome="created",queue="create_item"}'

  // Sends concurrent creates, which the consumer applies in batches. Then sends duplicates, first without waiting for the outcome.
  await Promise.all(Array.from({ length: BATCH }, (_, n) => create(n)))
  await eventually(async () => expect(await applied()).toBe(BATCH))
  for (const n of [1, 2, 3, 4, 5]) expect(await create(n)).toBe(200)
  for (const n of [BATCH, BATCH + 1, BATCH + 2]) expect(await create(n, WAIT)).toBe(201)
  for (const n of [6, 7]) expect(await create(n, WAIT)).toBe(409)
  for (const path of ['/create_item', '/stock_management', '/stock_adjustment'])
    expect(await ask('POST', path, {})).toBe(400)
  for (let n = 0; n < 4; n += 1) expect(await ask('GET', '/healthcheck')).toBe(200)
  expect(await ask('GET', '/nothing')).toBe(404)
  expect(await ask('PROPFIND', '/healthcheck')).toBe(405)

  // While the database is down, the consumer keeps all messages in flight and retries them. None is lost.
  await database.close()
  await Promise.all(Array.from({ length: HELD }, (_, n) => create(1_000 + n)))
  await eventually(async () => expect(await held()).toBe(HELD))
  expect(await stack.depth('create_item')).toBe(0)
  database = await startTcpProxy(stack.space.mysql, database.port)
  await eventually(async () => expect(await held()).toBe(0))
  await eventually(async () => expect(await applied()).toBe(BATCH + 3 + HELD))

  // A new process counts from 0.
  const before = await samplesOf('consumer_two', /_total$/)
  stack.service('consumer_two').kill('SIGTERM')
  expect(await stack.service('consumer_two').exited).toBe(0)
  await stack.start('consumer_two')
  await stack.ready('consumer_two')
  expect(await counted('consumer_two')).toEqual({})
  expect(await create(2_000, WAIT)).toBe(201)

  for (const n of [1, 2, 3]) expect(await remove(n)).toBe(200)
  for (const n of [5_000, 5_001]) expect(await remove(n)).toBe(200)
  expect(await remove(4, WAIT)).toBe(200)
  expect(await remove(5_002, WAIT)).toBe(404)
  expect(await ask('GET', '/order_processing?sku=SKU-8')).toBe(200)
  expect(await ask('GET', '/order_processing?sku=SKU-9')).toBe(200)
  const ofConsumerFour = await samplesOf('consumer_four', /_total$/)
  stack.service('consumer_four').kill('SIGKILL')
  await stack.service('consumer_four').exited
  expect(await ask('GET', '/order_processing?sku=SKU-10')).toBe(504)

  const rows = BATCH + 3 + HELD + 1
  const accepted = rows + 5 + 2
  await eventually(async () => expect(await stack.skus()).toHaveLength(rows - 4))
  await eventually(async () => {
    expect(Object.fromEntries(await samplesOf('producer', /^http_request_duration_seconds_count$/))).toEqual(answered)
    expect(await counted('producer')).toEqual({
      'messages_confirmed_total{queue="create_item"}': accepted,
      'messages_confirmed_total{queue="stock_management"}': 7,
      'messages_confirmed_total{queue="healthcheck"}': 4,
      'messages_confirmed_total{queue="order_processing"}': 3,
      // The producer confirms to the consumer that it received a refusal.
      'messages_confirmed_total{queue="replies"}': 2,
      'replies_missing_total{queue="order_processing"}': 1,
      'http_requests_failed_total{reason="no-reply",route="/order_processing",status="504"}': 1,
    })
    expect(await counted('consumer_one')).toEqual({
      'messages_consumed_total{queue="healthcheck"}': 4,
      'messages_applied_total{outcome="logged",queue="healthcheck"}': 4,
    })
    expect(await counted('consumer_two', before)).toEqual({
      'messages_consumed_total{queue="create_item"}': accepted,
      [created]: rows,
      // The number of attempts while the database was down is random.
      'messages_retried_total{queue="create_item"}': expect.any(Number),
      'messages_dead_lettered_total{queue="create_item",reason="duplicate-sku"}': 5,
      'messages_refused_told_total{queue="create_item",reason="duplicate-sku"}': 2,
      'messages_confirmed_total{queue="create_item.dead-letter"}': 5,
      'messages_confirmed_total{queue="replies"}': 4 + 2,
      'replies_sent_total{queue="create_item"}': 4,
    })
    expect(await counted('consumer_three')).toEqual({
      'messages_consumed_total{queue="stock_management"}': 7,
      'messages_applied_total{outcome="deleted",queue="stock_management"}': 4,
      'messages_applied_total{outcome="unknown-sku",queue="stock_management"}': 3,
      'messages_confirmed_total{queue="replies"}': 2,
      'replies_sent_total{queue="stock_management"}': 2,
    })
    expect(Object.fromEntries([...ofConsumerFour].filter(([, value]) => value > 0))).toEqual({
      'messages_consumed_total{queue="order_processing"}': 2,
      'messages_applied_total{outcome="answered",queue="order_processing"}': 2,
      'messages_confirmed_total{queue="replies"}': 2,
      'replies_sent_total{queue="order_processing"}': 2,
    })
  })
  expect(await stack.deadLetters('create_item')).toHaveLength(5)
})

it('a service does not export counters for work that it does not do', async () => {
  await stack.start('consumer_four')
  await stack.ready('consumer_four')
  const names: Partial<Record<ServiceName, string[]>> = {}
  for (const service of SERVICES) {
    const samples = await samplesOf(service, /_total$/)
    names[service] = [...new Set([...samples.keys()].map((name) => name.replace(/_total.*/, '')))]
  }
  const [producer = [], one = [], two = [], four = []] = [
    names.producer,
    names.consumer_one,
    names.consumer_two,
    names.consumer_four,
  ]
  const consumed = ['messages_consumed', 'messages_applied', 'messages_retried', 'replies_sent', 'stale_acks_dropped']
  expect(producer.filter((name) => [...consumed, 'inbox_rows_removed', 'queries_dropped'].includes(name))).toEqual([])
  for (const consumer of [one, two, four]) {
    expect(consumer).toEqual(expect.arrayContaining(consumed))
    expect(consumer.filter((name) => name.startsWith('http_'))).toEqual([])
  }
  expect(one).not.toContain('inbox_rows_removed')
  expect(two).toContain('inbox_rows_removed')
  expect(four).toContain('queries_dropped')
  expect(four).not.toContain('messages_duplicates')
  expect([...one, ...two]).not.toContain('queries_dropped')
})
